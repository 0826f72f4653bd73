// SHA-256 (FIPS 180-4).
#pragma once

#include <cstdint>
#include <cstring>

namespace assay {

class Sha256 {
   public:
    // Writes the 32 bytes of the digest of ``size`` bytes.
    static void digest(const uint8_t* bytes, size_t size, uint8_t* out) {
        Sha256 hash;
        size_t at = 0;
        for (; at + 64 <= size; at += 64) hash.block(bytes + at);
        uint8_t last[128] = {};
        const size_t rest = size - at, length = rest < 56 ? 64 : 128;
        if (rest) std::memcpy(last, bytes + at, rest);
        last[rest] = 0x80;
        for (int k = 0; k < 8; ++k) last[length - 1 - k] = uint8_t(uint64_t(size) * 8 >> (8 * k));
        for (size_t k = 0; k < length; k += 64) hash.block(last + k);
        for (int k = 0; k < 32; ++k) out[k] = uint8_t(hash.state[k / 4] >> (24 - 8 * (k % 4)));
    }

   private:
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

    static uint32_t turned(uint32_t x, int n) { return x >> n | x << (32 - n); }

    void block(const uint8_t* p) {
        static const uint32_t K[64] = {
            0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
            0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
            0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
            0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
            0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
            0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
            0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
            0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
        uint32_t w[64], s[8];
        for (int k = 0; k < 16; ++k)
            w[k] = uint32_t(p[4 * k]) << 24 | uint32_t(p[4 * k + 1]) << 16 | uint32_t(p[4 * k + 2]) << 8 | p[4 * k + 3];
        for (int k = 16; k < 64; ++k) {
            const uint32_t a = w[k - 15], b = w[k - 2];
            w[k] = w[k - 16] + (turned(a, 7) ^ turned(a, 18) ^ a >> 3) + w[k - 7] +
                   (turned(b, 17) ^ turned(b, 19) ^ b >> 10);
        }
        std::memcpy(s, state, sizeof s);
        for (int k = 0; k < 64; ++k) {
            const uint32_t choice = (s[4] & s[5]) ^ (~s[4] & s[6]);
            const uint32_t majority = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
            const uint32_t first =
                s[7] + (turned(s[4], 6) ^ turned(s[4], 11) ^ turned(s[4], 25)) + choice + K[k] + w[k];
            const uint32_t second = (turned(s[0], 2) ^ turned(s[0], 13) ^ turned(s[0], 22)) + majority;
            for (int i = 7; i > 0; --i) s[i] = s[i - 1];
            s[4] += first;
            s[0] = first + second;
        }
        for (int k = 0; k < 8; ++k) state[k] += s[k];
    }
};

}  // namespace assay
