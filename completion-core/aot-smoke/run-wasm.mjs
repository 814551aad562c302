// Runs the WebAssembly file of the program in node: `node run-wasm.mjs FILE`.
import { readFile } from 'node:fs/promises';
import { argv, exit, stdout } from 'node:process';

const host = {
  print: (address, length) => stdout.write(new Uint8Array(memory.buffer, address, length)),
  exit,
};
const { instance } = await WebAssembly.instantiate(await readFile(argv[2]), { host });
const { memory } = instance.exports;
instance.exports._start();
