#include "team.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <vector>

namespace assay {
namespace {

constexpr int MOST_THREADS = 256;
constexpr int SPINS = 2000;  // about 20 microseconds

inline void pause_briefly() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// A number that goes up, and threads that wait for that.
class Event {
   public:
    unsigned now() const { return value.load(std::memory_order_acquire); }

    void advance() {
        value.fetch_add(1);
        if (sleepers.load() == 0) return;
        pthread_mutex_lock(&mutex);  // a sleeper is either before its look at the value or asleep
        pthread_mutex_unlock(&mutex);
        pthread_cond_broadcast(&changed);
    }

    void wait_beyond(unsigned seen) {
        for (int k = 0; k < SPINS; ++k) {
            if (now() != seen) return;
            pause_briefly();
        }
        pthread_mutex_lock(&mutex);
        sleepers.fetch_add(1);
        while (value.load() == seen) pthread_cond_wait(&changed, &mutex);
        sleepers.fetch_sub(1);
        pthread_mutex_unlock(&mutex);
    }

   private:
    std::atomic<unsigned> value{0};
    std::atomic<int> sleepers{0};
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
};

class Barrier {
   public:
    void wait(int count) {
        const unsigned seen = passed.now();
        if (arrived.fetch_add(1) + 1 < count) return passed.wait_beyond(seen);
        arrived.store(0);
        passed.advance();
    }

   private:
    std::atomic<int> arrived{0};
    Event passed;
};

// The helpers of one process; a forked one has a pool of its own. Pools live as long as the process.
struct Pool {
    const pid_t process = getpid();
    std::atomic<bool> taken{false};
    int n_helpers = 0;
    Event start;
    Barrier inside, end;
    int count = 1;
    void (*work)(void*, int) = nullptr;
    void* context = nullptr;

    struct Helper {
        Pool* pool;
        int rank;
        unsigned seen;
    };

    static void* help(void* argument) {
        const Helper own = *static_cast<Helper*>(argument);
        delete static_cast<Helper*>(argument);
        Pool& pool = *own.pool;
        for (unsigned seen = own.seen;; ++seen) {
            pool.start.wait_beyond(seen);
            // A helper that this call does not want must not miss the next one, so it takes part in the end of each.
            if (own.rank < pool.count) pool.work(pool.context, own.rank);
            pool.end.wait(pool.n_helpers + 1);
        }
        return nullptr;
    }

    // Starts helpers until there are ``wanted``, or as many as the system gives.
    void grow(int wanted) {
        while (n_helpers < wanted) {
            auto* helper = new Helper{this, n_helpers + 1, start.now()};
            pthread_t thread;
            if (pthread_create(&thread, nullptr, help, helper) != 0) {
                delete helper;
                return;
            }
            pthread_detach(thread);
            ++n_helpers;
        }
    }
};

std::atomic<Pool*> current{nullptr};

Pool* pool_of_process() {
    Pool* found = current.load();
    if (found && found->process == getpid()) return found;
    Pool* made = new Pool;
    if (current.compare_exchange_strong(found, made)) return made;
    delete made;
    return found;
}

}  // namespace

Team::Team(int wanted) {
    if (wanted <= 1) return;
    Pool& pool = *pool_of_process();
    if (pool.taken.exchange(true)) return;
    pool.grow(std::min(wanted, MOST_THREADS) - 1);
    count = std::min(wanted, pool.n_helpers + 1);
    if (count == 1) pool.taken.store(false);
}

Team::~Team() {
    if (count > 1) current.load()->taken.store(false);
}

void Team::run(void (*work)(void*, int), void* context) {
    if (count == 1) return work(context, 0);
    Pool& pool = *current.load();
    pool.count = count;
    pool.work = work;
    pool.context = context;
    pool.start.advance();
    work(context, 0);
    pool.end.wait(pool.n_helpers + 1);
}

void Team::barrier() const {
    if (count > 1) current.load()->inside.wait(count);
}

}  // namespace assay
