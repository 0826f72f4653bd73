// The functions of a pair of atoms and their distance: floor, radial basis, envelope, repulsion, and their derivatives.
#pragma once

#include <algorithm>
#include <vector>

#include "call.h"
#include "lanes.h"

namespace assay {

constexpr double PI = 3.14159265358979323846;

template <class T>
struct Pairs {
    const Hyperparameters set;
    const std::vector<double> radii, screening;  // the radius, angstrom, and Z^CHARGE_POWER for each atomic number Z
    const std::vector<double> places, widths;    // the center and the width of each Gaussian, or the k of each sine
    const bool evenly_spaced;

    explicit Pairs(const Constants& of)
        : set(of.set), radii(of.radii, of.radii + set.max_z + 1), screening(of.screening, of.screening + set.max_z + 1),
          places(of.places, of.places + set.n_rbf), widths(of.widths, of.widths + set.n_rbf),
          evenly_spaced(sizeof(T) == 4 && are_evenly_spaced()) {}

    // Whether the radial functions are those of the basis before any training, so that one follows from another.
    bool are_evenly_spaced() const {
        const double width = spacing();
        auto near = [&](double x, double expected) {
            return std::fabs(x - expected) <= 1e-6 * std::max(std::fabs(expected), width);
        };
        for (int64_t r = 0; r < set.n_rbf; ++r) {
            const bool even = set.gaussian ? near(places[r], first_center() + r * width) && near(widths[r], width)
                                           : near(places[r], (r + 1) * PI / set.cutoff) && near(widths[r], 1.0);
            if (!even) return false;
        }
        return true;
    }

    double spacing() const { return set.cutoff / std::max<int64_t>(set.n_rbf - 1, 1); }
    double first_center() const { return set.from_contact ? FIRST_CENTER_A : 0.0; }

    // Returns the floored distance and its derivative ``slope``.
    double floored(double d, double contact, double& slope) const {
        const double a = FLAT_BELOW * contact, b = UNCHANGED_BEYOND * contact;
        const double t = std::min(std::max((d - a) / (b - a), 0.0), 1.0), t3 = t * t * t;
        slope = t3 * (10.0 - 15.0 * t + 6.0 * t * t);
        return 0.5 * (a + b) + (b - a) * t3 * t * (2.5 - 3.0 * t + t * t) + std::max(d - b, 0.0);
    }

    // Computes the envelope f of a distance, which is x in units of the cutoff, and its derivative.
    void envelope(double distance, double x, double& f, double& df) const {
        if (set.envelope == COSINE) {
            f = 0.5 * (std::cos(PI * x) + 1.0);
            df = -0.5 * PI * std::sin(PI * x) / set.cutoff;
        } else if (set.envelope == MOLLIFIER) {
            const double rest = 1.0 - x * x;
            f = std::exp(1.0 - 1.0 / rest);
            df = -2.0 * x * f / (rest * rest) / set.cutoff;
        } else if (set.envelope == SWITCH) {
            const double width = set.envelope_end - set.envelope_begin, t = (distance - set.envelope_begin) / width;
            const double past = std::min(std::max(t, 1e-3), 1.0 - 1e-3), left = 1.0 - past;  // beyond, exp(-1/t) is 0
            const double rising = std::exp(-1.0 / past), falling = std::exp(-1.0 / left), total = rising + falling;
            f = falling / total;
            df = -rising * falling * (1.0 / (past * past) + 1.0 / (left * left)) / (total * total) / width;
        } else {
            const double x3 = x * x * x;
            f = 1.0 - x3 * x3 * (28.0 - 48.0 * x + 21.0 * x * x);
            df = -x3 * x * x * 168.0 * (1.0 - x) * (1.0 - x) / set.cutoff;
        }
    }

    // Returns what the radial basis sees of a distance, and its derivative ``slope``.
    double seen(double distance, double contact, double& slope) const {
        slope = 1.0;
        const double d = set.floor ? floored(distance, contact, slope) : distance;
        return set.from_contact ? d - contact : d;
    }

    // What the radial functions of a pair at one distance depend on: what they see of it, d, and its derivative, and
    // the envelope f and its.
    struct Reach {
        double d, slope, f, df;
    };

    // Computes the above at one distance; returns false from the cutoff on.
    bool reach(double distance, int64_t z, int64_t w, Reach& at) const {
        const double x = distance / set.cutoff;
        if (x >= 1.0 || distance >= set.envelope_end) return false;
        at.d = seen(distance, radii[z] + radii[w], at.slope);
        envelope(distance, x, at.f, at.df);
        return true;
    }

    // Returns a radial function, without envelope, at the distance d, and its derivative.
    double radial_function(int64_t r, double d, double& derivative) const {
        if (set.gaussian) {
            const double t = (d - places[r]) / widths[r], value = std::exp(-0.5 * t * t);
            derivative = -t / widths[r] * value;
            return value;
        }
        const double k = places[r];
        if (std::fabs(k * d) < 1e-4) {  // the first terms of the series around zero
            derivative = -k * k * k * d / 3.0;
            return k - k * k * k * d * d / 6.0;
        }
        const double value = std::sin(k * d) / d;
        derivative = (k * std::cos(k * d) - value) / d;
        return value;
    }

    // Computes radial basis times envelope, and its derivative.
    void radial(const Reach& at, T* basis, T* slope) const {
        const double d = at.d, floor_slope = at.slope, f = at.f, df = at.df;
        if (!evenly_spaced) {
            for (int64_t r = 0; r < set.n_rbf; ++r) {
                double derivative;
                const double value = radial_function(r, d, derivative);
                basis[r] = value * f;
                slope[r] = derivative * f * floor_slope + value * df;
            }
        } else if (set.gaussian) {
            const double width = spacing(), t = (d - first_center()) / width;
            auto put = [&](int64_t r, double value) {
                basis[r] = value * f;
                slope[r] = value * (df - f * (t - r) / width * floor_slope);
            };
            // From the nearest center to both ends, each value is the one before times exp(+-(t - r) - 1/2): from the
            // largest to the smallest, so that no value follows one that is too small for a double.
            const int64_t nearest = std::clamp<int64_t>(std::lround(t), 0, set.n_rbf - 1);
            const double beside = t - nearest, peak = std::exp(-0.5 * beside * beside), step = std::exp(-1.0);
            put(nearest, peak);
            double value = peak, factor = std::exp(beside - 0.5);
            for (int64_t r = nearest + 1; r < set.n_rbf; ++r, factor *= step) put(r, value *= factor);
            value = peak, factor = std::exp(-beside - 0.5);
            for (int64_t r = nearest; r-- > 0; factor *= step) put(r, value *= factor);
        } else {
            const double step = PI / set.cutoff, sine = std::sin(step * d), cosine = std::cos(step * d);
            double sn = sine, cn = cosine;  // sine and cosine of (r + 1) * step * d
            for (int64_t r = 0; r < set.n_rbf; ++r) {
                const double value = sn / d, derivative = (cn * step * (r + 1) - value) / d;
                basis[r] = value * f;
                slope[r] = derivative * f * floor_slope + value * df;
                const double next = sn * cosine + cn * sine;
                cn = cn * cosine - sn * sine;
                sn = next;
            }
        }
        if (set.filter_bias) {
            basis[set.n_rbf] = f;
            slope[set.n_rbf] = df;
        }
    }

    // Returns half of the Ziegler-Biersack-Littmark repulsion of a pair, eV, and its derivative ``slope``.
    double repulsion(int64_t z, int64_t w, double d, double& slope) const {
        const double reach = radii[z] + radii[w], x = d / reach;
        slope = 0.0;
        if (x >= 1.0) return 0.0;
        const double f = 1.0 - x * x * x * (10.0 - 15.0 * x + 6.0 * x * x);
        const double df = -30.0 * x * x * (1.0 - x) * (1.0 - x) / reach;
        const double scale = (screening[z] + screening[w]) / (SCREENING_BOHR * BOHR_A);
        double phi = 0.0, dphi = 0.0;
        for (int k = 0; k < 4; ++k) {
            const double term = COEFFICIENTS[k] * std::exp(-EXPONENTS[k] * scale * d);
            phi += term;
            dphi -= EXPONENTS[k] * scale * term;
        }
        const double charge = 0.5 * COULOMB_EV_A * z * w;
        slope = charge * ((dphi * f + phi * df) / d - phi * f / (d * d));
        return charge * phi * f / d;
    }
};

}  // namespace assay
