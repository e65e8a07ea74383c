/*
 * Levenberg and Marquardt's method in C, on two functions that were exported from Python: see ../export_c.py.
 *
 * cc fit_metal.c newton.o residual.o -o fit_metal -lm && ./fit_metal 0.1 0.01 0.02
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "newton.h"
#include "residual.h"

enum { PARAMETERS = 3, MOST = 200 };

/* Go to the minimum; returns how many steps were tried, or -1 with a message. */
static int fit(double b[PARAMETERS], double *squares) {
    double trial[PARAMETERS], before, after, damping = 1e-3;
    for (int count = 1; count <= MOST; count++) {
        int status = newton(b, damping, trial, &before, &after);
        if (status != NEWTON_OK) {
            fprintf(stderr, "%s\n", newton_message(status));
            return -1;
        }
        if (!isfinite(before)) {
            fprintf(stderr, "the start gives no finite sum of squares\n");
            return -1;
        }
        double change = 0.0;
        for (int i = 0; i < PARAMETERS; i++)
            change = fmax(change, fabs(trial[i] / b[i] - 1.0));
        if (after <= before) {
            memcpy(b, trial, sizeof trial);
            damping /= 10.0;
        } else {
            damping *= 10.0;
        }
        *squares = fmin(before, after);
        if (change < 1e-11)
            return count;
    }
    return MOST;
}

int main(int argc, char **argv) {
    double b[PARAMETERS], squares = 0.0, rest;
    if (argc < PARAMETERS + 1) {
        fprintf(stderr, "usage: %s b1 b2 b3 [observation ...]\n", argv[0]);
        return 2;
    }
    for (int i = 0; i < PARAMETERS; i++)
        b[i] = strtod(argv[1 + i], NULL);
    int count = fit(b, &squares);
    if (count < 0)
        return 1;
    printf("%d steps, sum of squares %.17g\n", count, squares);
    for (int i = 0; i < PARAMETERS; i++)
        printf("b%d %.17g\n", i + 1, b[i]);
    for (int i = PARAMETERS + 1; i < argc; i++) {
        int status = residual(b, strtoll(argv[i], NULL, 10), &rest);
        if (status != RESIDUAL_OK) {
            fprintf(stderr, "%s\n", residual_message(status));
            return 1;
        }
        printf("residual of observation %s: %.17g\n", argv[i], rest);
    }
    return 0;
}
