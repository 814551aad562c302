/* A C library as they come: jobs are queued with a callback and user data, and the library calls back
 * from a thread of its own. */

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

typedef void (*factorial_done)(uint64_t user_data, int error, uint64_t result);

struct job {
    unsigned n;
    factorial_done done;
    uint64_t user_data;
    struct job *next;
};

struct factorial {
    struct job *jobs;
    pthread_t thread;
    int running;
};

struct factorial *factorial_new(void) {
    return calloc(1, sizeof(struct factorial));
}

/* Queues a job. Not once the thread has been started. Returns an errno. */
int factorial_submit(struct factorial *library, unsigned n, factorial_done done, uint64_t user_data) {
    struct job *job = malloc(sizeof *job);
    if (job == NULL) {
        return ENOMEM;
    }
    *job = (struct job){ .n = n, .done = done, .user_data = user_data, .next = library->jobs };
    library->jobs = job;
    return 0;
}

static void *run(void *argument) {
    struct factorial *library = argument;
    while (library->jobs != NULL) {
        struct job *job = library->jobs;
        library->jobs = job->next;

        uint64_t result = 1;
        int error = 0;
        for (unsigned n = 2; n <= job->n; n++) {
            if (result > UINT64_MAX / n) {
                error = ERANGE;
                break;
            }
            result *= n;
        }
        job->done(job->user_data, error, error ? 0 : result);
        free(job);
    }
    return NULL;
}

/* Starts the library's thread, which calls back for each job. Returns an errno. */
int factorial_start(struct factorial *library) {
    int error = pthread_create(&library->thread, NULL, run, library);
    library->running = error == 0;
    return error;
}

/* Waits for the thread. Jobs that never ran are dropped without a word. */
void factorial_free(struct factorial *library) {
    if (library->running) {
        pthread_join(library->thread, NULL);
    }
    while (library->jobs != NULL) {
        struct job *job = library->jobs;
        library->jobs = job->next;
        free(job);
    }
    free(library);
}
