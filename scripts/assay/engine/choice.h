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
        OfSize& own = sizes[size];
        if (own.calls < 2 * FIRST) {  // both in turns
            team = own.calls % 2 == 0;
        } else {
            // Where others take turns with this process, a call on one thread that is not interrupted tells its speed,
            // and several threads are as slow as the one that is.
            const double one = own.sides[0].quantile(0.0), all = own.sides[1].quantile(0.5);
            const bool probes = --own.until_probe <= 0;
            team = (all < WORTHWHILE * one) != probes;
            if (probes) own.until_probe = calls_to_probe(one, all);
        }
        ++own.calls;
        return team ? most : 1;
    }

    // Ends the call that was begun last, which took ``threads`` of the ``most`` threads that it might.
    void end(int most, int threads, double seconds) {
        if (most > 1 && (threads > 1) == team) sizes[size].sides[team].add(seconds);  // another call may have the others
    }

    // The seconds of a clock that only goes forward.
    static double now() {
        timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        return double(time.tv_sec) + 1e-9 * double(time.tv_nsec);
    }

   private:
    static constexpr int SIZES = 32, FIRST = 5, KEPT = 8;
    static constexpr double WORTHWHILE = 0.9;  // several threads must take less of the time of one
    static constexpr double PROBING = 0.02;    // the part of the time that may go into trying the slower choice
    static constexpr double LEAST = 32, MOST = 1000;  // calls from one try of the slower choice to the next

    // The latest times of one kind, seconds.
    struct Side {
        double seconds[KEPT];
        int n = 0;
        void add(double value) { seconds[n++ % KEPT] = value; }
        // The time that this part of the others is below: 0 for the least, 0.5 for the median.
        double quantile(double part) const {
            double all[KEPT];
            const int count = std::min(n, KEPT);
            std::copy(seconds, seconds + count, all);
            std::sort(all, all + count);
            return count ? all[int(part * count)] : 0.0;
        }
    };

    // What is known of calls of about one size: with one thread and with all.
    struct OfSize {
        Side sides[2];
        int64_t calls = 0;
        int until_probe = int(LEAST);
    };

    OfSize sizes[SIZES];
    int size = 0, most_before = 0;
    bool team = false;

    // How many calls apart the slower choice is tried, so that what it costs more is a small part of all.
    static int calls_to_probe(double one, double all) {
        const double faster = std::min(one, all), slower = std::max(one, all);
        return int(std::clamp((slower - faster) / (PROBING * faster + 1e-12), LEAST, MOST));
    }
};

}  // namespace assay
