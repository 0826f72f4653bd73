// Threads that compute one call together. They are started once for the process, sleep when there is nothing to do for
// them, and never spin for long: where another program has their core, waiting would cost both.
#pragma once

namespace assay {

class Team {
   public:
    // Takes up to ``wanted`` threads, the caller among them; fewer where another call has them.
    explicit Team(int wanted);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int size() const { return count; }

    // Calls work(rank) in each thread, with ranks from 0, which is the caller's; returns when all have returned. The
    // work must not throw.
    template <class F>
    void run(F&& work) {
        run([](void* context, int rank) { (*static_cast<F*>(context))(rank); }, &work);
    }

    // Waits, within ``run``, until all threads are here.
    void barrier() const;

   private:
    int count = 1;
    void run(void (*work)(void* context, int rank), void* context);
};

}  // namespace assay
