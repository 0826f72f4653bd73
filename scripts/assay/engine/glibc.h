// Included before all else for Linux: the library shall load wherever glibc is 2.28 or newer, so that it asks for no
// version of a function that came later.
#pragma once

#if defined(__linux__)
#include <features.h>
#endif
#if defined(__GLIBC__)
#if defined(__x86_64__)
#define OLDEST "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define OLDEST "GLIBC_2.17"
#endif
#ifdef OLDEST
#define FROM_OLDEST(NAME) __asm__(".symver " #NAME "," #NAME "@" OLDEST)
FROM_OLDEST(exp);
FROM_OLDEST(log);
FROM_OLDEST(pthread_create);
FROM_OLDEST(pthread_detach);
#endif
#endif
