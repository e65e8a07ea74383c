import pytest
from tests.agreement import check_agreement
from tests.programs import PROGRAMS, STEPS

@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    program = PROGRAMS[name]
    check_agreement(program.bound(), program.draw(0), program.draw(1))

@pytest.mark.parametrize("name", [n for n, p in PROGRAMS.items() if p.differentiable])
def test_gradient(name):
    program = PROGRAMS[name]
    check_agreement(program.gradient("float64"), program.draw(0, "float64"), program.draw(1,"float64"))

@pytest.mark.parametrize("name", STEPS)
def test_step(name):
    program = STEPS[name]
    check_agreement(program.bound(), program.draw(0), program.draw(1))
