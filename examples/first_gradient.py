"""Three first gradients: of a variable, of a constant that is watched, and a gradient of a gradient."""

import argparse

import tapejit as tj


def of_a_variable():
    t = tj.Variable(3.0)
    with tj.GradientTape() as tape:
        y = t**2
    return tape.gradient(y, t)  # dy/dt = 2 t


def of_a_constant(watched=True):
    x = tj.constant(3.0)
    with tj.GradientTape() as tape:
        if watched:
            tape.watch(x)  # tapes follow variables by themselves, constants only when asked
        y = x**2
    return tape.gradient(y, x)


def second_order():
    x = tj.Variable(1.0)
    with tj.GradientTape() as outer:
        with tj.GradientTape() as inner:
            y = x * x * x
        dy = inner.gradient(y, x)  # 3 x², itself on the outer tape
    return outer.gradient(dy, x)  # 6 x


def main():
    results = {
        "d(t²)/dt at 3": of_a_variable(),
        "d(x²)/dx at 3, x not watched": of_a_constant(watched=False),
        "d(x²)/dx at 3, x watched": of_a_constant(),
        "d²(x³)/dx² at 1": second_order(),
    }
    for name, result in results.items():
        print(f"{name}: {result}")
    return results


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
