// The radial functions as splines, so that filters are read from a table and not computed from a basis.
//
// Filters are linear in the radial functions, which depend on one distance alone. On evenly spaced knots each of them is
// a sum of B-splines of the fifth degree, which has four continuous derivatives and, at one distance, six terms. So a
// table of the filters' coefficients, a row for each spline, gives the filters by six products where the basis takes
// one for each radial function. (M. Unser, A. Aldroubi, M. Eden, IEEE Trans. Signal Process. 41, 821 (1993) have the
// coefficients of a function that is known at all knots.)
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "pairs.h"

namespace assay {

constexpr int SPLINES = 6;  // splines that are not zero at one distance
constexpr double POLES[2] = {-0.430575347099973791851, -0.043096288203264653822};  // of the filter for coefficients

// Computes the splines that are not zero at the place ``x`` between two knots, 0 to 1, and their derivatives by x.
inline void splines_at(double x, double* value, double* derivative) {
    value[0] = 1.0;
    for (int degree = 1; degree < SPLINES; ++degree) {
        double before[SPLINES + 1] = {};  // those of the degree before, with a zero on either side
        std::copy_n(value, degree, before + 1);
        if (degree + 1 == SPLINES)
            for (int k = 0; k < SPLINES; ++k) derivative[k] = before[k] - before[k + 1];
        for (int k = 0; k <= degree; ++k)
            value[k] = ((degree - k + x) * before[k] + (k + 1 - x) * before[k + 1]) / degree;
    }
}

template <class T>
class RadialSplines {
   public:
    // The number of splines, which is that of a table's rows; 0 where a table would not be exact enough or not pay.
    int64_t rows = 0;

    explicit RadialSplines(const Pairs<T>& pairs) : pairs(pairs) {
        if (sizeof(T) != 4 || pairs.set.n_rbf < FEWEST_FUNCTIONS) return;
        const auto [least, most] = std::minmax_element(pairs.radii.begin(), pairs.radii.end());
        double slope, end = pairs.set.cutoff;
        begin = std::min(0.0, pairs.seen(0.0, 2.0 * *most, slope));
        for (const double radius : {*least, *most})
            end = std::max(end, pairs.seen(pairs.set.cutoff, 2.0 * radius, slope));
        for (int64_t cells = FEWEST_CELLS; cells <= MOST_CELLS && rows == 0; cells += cells / 4)
            fit(cells, (end - begin) / cells);
    }

    // The coefficients of row ``row``, one for each radial function.
    const double* coefficients(int64_t row) const { return fitted.data() + row * pairs.set.n_rbf; }

    // Computes the splines times the envelope, and their derivatives by the distance; returns the row of the first.
    int32_t at(const typename Pairs<T>::Reach& reach, T* value, T* slope) const {
        const double place = (reach.d - begin) / spacing;
        const int64_t cell = std::clamp<int64_t>(int64_t(place), 0, rows - SPLINES);
        double splines[SPLINES], derivatives[SPLINES];
        splines_at(place - cell, splines, derivatives);
        for (int k = 0; k < SPLINES; ++k) {
            value[k] = splines[k] * reach.f;
            slope[k] = derivatives[k] / spacing * reach.slope * reach.f + splines[k] * reach.df;
        }
        return static_cast<int32_t>(cell);
    }

   private:
    static constexpr int64_t FEWEST_FUNCTIONS = 12;               // with fewer, the basis is as fast as a table
    static constexpr int64_t FEWEST_CELLS = 32, MOST_CELLS = 256;  // a table of more leaves the cache
    static constexpr int64_t BEYOND = 24;  // knots on either side whose values still change a coefficient: 0.43^24
    // The largest errors of values and of slopes, relative to the largest value and slope: those of single precision.
    static constexpr double VALUE_ERROR = 6e-8, SLOPE_ERROR = 1e-6;

    const Pairs<T>& pairs;
    double begin = 0.0, spacing = 0.0;
    std::vector<double> fitted;

    // Finds the coefficients on so many cells, and keeps them if they are exact enough.
    void fit(int64_t cells, double width) {
        const int64_t n = pairs.set.n_rbf;
        std::vector<double> found((cells + SPLINES - 1) * n), line(cells + 2 * BEYOND + 1);
        double slope;
        for (int64_t r = 0; r < n; ++r) {
            for (size_t k = 0; k < line.size(); ++k)
                line[k] = pairs.radial_function(r, begin + (double(k) - BEYOND) * width, slope);
            for (const double pole : POLES) {
                for (double& x : line) x *= (1.0 - pole) * (1.0 - 1.0 / pole);
                for (size_t k = 1; k < line.size(); ++k) line[k] += pole * line[k - 1];
                line.back() = 0.0;
                for (size_t k = line.size() - 1; k-- > 0;) line[k] = pole * (line[k + 1] - line[k]);
            }
            for (int64_t row = 0; row < cells + SPLINES - 1; ++row) found[row * n + r] = line[row + BEYOND - 2];
        }
        if (!is_exact(found, cells, width)) return;
        rows = cells + SPLINES - 1;
        spacing = width;
        fitted.swap(found);
    }

    bool is_exact(const std::vector<double>& found, int64_t cells, double width) const {
        const int64_t n = pairs.set.n_rbf;
        double error[2] = {}, largest[2] = {};
        for (const double x : {0.0, 0.25, 0.5}) {
            double splines[SPLINES], derivatives[SPLINES];
            splines_at(x, splines, derivatives);
            for (int64_t cell = 0; cell < cells; ++cell)
                for (int64_t r = 0; r < n; ++r) {
                    double expected[2], sum[2] = {};
                    expected[0] = pairs.radial_function(r, begin + (cell + x) * width, expected[1]);
                    for (int k = 0; k < SPLINES; ++k) {
                        sum[0] += splines[k] * found[(cell + k) * n + r];
                        sum[1] += derivatives[k] / width * found[(cell + k) * n + r];
                    }
                    for (int of = 0; of < 2; ++of) {
                        const double wrong = std::fabs(sum[of] - expected[of]);
                        if (!(wrong <= error[of])) error[of] = wrong;
                        largest[of] = std::max(largest[of], std::fabs(expected[of]));
                    }
                }
        }
        return error[0] <= VALUE_ERROR * largest[0] && error[1] <= SLOPE_ERROR * largest[1];
    }
};

}  // namespace assay
