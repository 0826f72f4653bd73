// How many threads a call takes: all that it may, or one, whichever was faster lately for calls of its size. Several
// threads wait for each other, so that a program beside them that takes one of their cores makes them slower than one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <ctime>

namespace assay {

class ThreadChoice {
   public:
    // Begins a call on ``n_atoms`` atoms that may take ``most`` threads, and returns how many it takes.
    int begin(int64_t n_atoms, int most) {
        if (most <= 1) return 1;
        if (most != most_before) *this = ThreadChoice();
        most_before = most;
        size = 0;
        while (size + 1 < SIZES && (int64_t(1) << size) < n_atoms) ++size;
        const Side* at = sides[size];
        int64_t& calls = n_calls[size];
        ++calls;
        if (calls <= 2 * KEPT) team = calls % 2 == 1;  // both in turns
        else team = (at[1].median() <= at[0].median()) != (calls % PROBE_EVERY == 0);
        started = now();
        return team ? most : 1;
    }

    void end(int most) {
        if (most > 1) sides[size][team].add(now() - started);
    }

   private:
    static constexpr int SIZES = 32, KEPT = 5, PROBE_EVERY = 32;

    // The latest times of one kind, seconds.
    struct Side {
        double seconds[KEPT];
        int n = 0;
        void add(double value) { seconds[n++ % KEPT] = value; }
        double median() const {
            double sorted[KEPT];
            const int count = std::min(n, KEPT);
            std::copy(seconds, seconds + count, sorted);
            std::sort(sorted, sorted + count);
            return sorted[count / 2];
        }
    };

    Side sides[SIZES][2];
    int64_t n_calls[SIZES] = {};
    int size = 0, team = 0, most_before = 0;
    double started = 0.0;

    static double now() {
        timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        return double(time.tv_sec) + 1e-9 * double(time.tv_nsec);
    }
};

}  // namespace assay
