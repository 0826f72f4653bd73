// Plays calls to ThreadChoice: each line of the input has the milliseconds of a call on one thread and on all. Prints
// the number of threads that each call took.
#include <cstdio>

#include "choice.h"

int main() {
    assay::ThreadChoice choice;
    double one, all;
    while (std::scanf("%lf %lf", &one, &all) == 2) {
        const int threads = choice.begin(60, 2);
        choice.end(2, threads, 1e-3 * (threads > 1 ? all : one));
        std::printf("%d\n", threads);
    }
}
