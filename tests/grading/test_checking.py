"""The frame of the checks: what an answer may do, how a failure reads, where inputs come from."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from t2i_course.errors import T2IError
from t2i_course.grading.checking import (
    SAID,
    Answer,
    CheckFailed,
    Checking,
    Draws,
    NotYet,
    Task,
    find,
    hidden_seed,
    same,
    shown,
)

ONE = torch.ones(2, 3)


def failure(function, *args, **kwargs):
    with pytest.raises(CheckFailed) as caught:
        function(*args, **kwargs)
    return caught.value


def a_task(check, **changes):
    whole = {"name": "ex99-twice", "function": "twice", "equations": ("y = 2 x",), "points": 3}
    return Task(**(whole | {"check": check} | changes))


@given(seed=st.integers(0, 2**63 - 1))
def test_inputs_are_a_function_of_the_seed_and_leave_the_global_generator_alone(seed):
    before = torch.get_rng_state()
    a, b = (Draws(seed) for _ in range(2))
    assert torch.equal(a.normal(2, 3), b.normal(2, 3))
    u = a.uniform(50, low=-2.0, high=3.0)
    assert torch.equal(u, b.uniform(50, low=-2.0, high=3.0))
    assert u.min() >= -2 and u.max() <= 3 and u.dtype == torch.float32
    assert a.integer(3, 5) == b.integer(3, 5) in (3, 4)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_seed_gives_other_inputs():
    assert not torch.equal(Draws(0).normal(4), Draws(1).normal(4))


def test_an_answer_works_on_copies_and_must_leave_them_alone():
    x = torch.ones(3)
    for spoils in (lambda x: x.mul_(2), lambda x: x.__setitem__(0, 5.0) or x):
        said = failure(Answer(spoils), x)
        assert (said.layer, said.came) == ("contract", "changed in place")
    said = failure(Answer(lambda rows: rows.append(1)), [1, 2])
    assert said.came == "changed in place"
    assert torch.equal(x, torch.ones(3))
    assert torch.equal(Answer(lambda x: 2 * x)(x), 2 * x)


def test_a_generator_is_copied_and_its_state_is_the_learners_own():
    generator = torch.Generator().manual_seed(3)
    draw = Answer(lambda g: torch.rand(2, generator=g))
    assert torch.equal(draw(generator), draw(generator))


@pytest.mark.parametrize("value", [object(), {1: 2}, {"a"}, iter([])], ids=["o", "d", "s", "i"])
def test_what_is_no_plain_value_is_told(value):
    assert "object of type" in failure(Answer(lambda: value)).came


def test_plain_values_pass_whole():
    value = {"a": [1, 2.5, "x", None, True], "b": (ONE,)}
    assert same(Answer(lambda: value)(), value)
    parameter = nn.Parameter(torch.ones(2))
    assert not Answer(lambda: parameter)().requires_grad


def test_the_stub_is_not_yet_and_an_unwritten_operation_of_torch_is_an_error():
    def stub():
        raise NotImplementedError  # write this

    def of_torch():
        raise NotImplementedError('"add" not implemented for Half')

    with pytest.raises(NotYet):
        Answer(stub)()
    assert "not implemented for Half" in failure(Answer(of_torch)).came


def test_an_answer_that_raises_is_told_what_and_in_which_line():
    def wrong_shapes(x):
        return x @ torch.ones(5, 5)

    said = failure(Answer(wrong_shapes), ONE)
    assert "RuntimeError" in said.came and "x @ torch.ones(5, 5)" in said.came


def test_gradients_come_by_the_arguments_asked_for():
    by_a, by_b = Answer(lambda a, b: a**2 * b).gradients(2 * ONE, 3 * ONE, wrt=(0, 1))
    assert torch.equal(by_a, 12 * ONE) and torch.equal(by_b, 4 * ONE)


@pytest.mark.parametrize(
    "cuts",
    [
        lambda x: x.detach() * 2,
        lambda x: torch.tensor(x.sum().item()),
        lambda x: 3.0,
        lambda x: torch.ones(3, requires_grad=True),
        lambda x: _spoilt(x),
    ],
    ids=["detach", "item", "number", "other", "in place"],
)
def test_a_graph_that_is_cut_or_spoilt_is_feedback(cuts):
    said = failure(Answer(cuts).gradients, torch.ones(3))
    assert said.layer == "contract"


def _spoilt(x):
    y = x.exp()
    z = y * y
    y.add_(1)
    return z


def test_gradients_flow_even_where_the_caller_has_switched_them_off():
    with torch.no_grad():
        assert Answer(lambda x: x**2).gradients(torch.ones(1))[0].item() == 2


def test_a_class_is_built_and_its_weights_are_read_and_set():
    layer = Answer(nn.Linear).build(2, 1)
    state = {name: torch.ones_like(value) for name, value in layer.state().items()}
    layer.load(state)
    assert torch.equal(layer(torch.ones(1, 2)), torch.tensor([[3.0]]))
    assert "Missing key" in failure(layer.load, {"weight": torch.ones(1, 2)}).came
    assert failure(Answer(dict).build().state).expected == "an nn.Module"


def check(c: Checking) -> None:
    """The check of y = 2 x, with a slip."""
    x = c.draw.normal(3)
    value = c.answer(x)
    c.tensor(value, (3,), "three numbers", slips={(3, 1): "one place too many"})
    c.close(value, 2 * x.double(), "three numbers", slips={"a square is no double": x**2})


@pytest.mark.parametrize(
    ("answer", "layer", "likely"),
    [
        (lambda x: x**2, "oracle", "a square is no double"),
        (lambda x: x + 1, "oracle", ""),
        (lambda x: 2 * x[:, None], "contract", "one place too many"),
        (lambda x: x.sum(), "contract", ""),
        (lambda x: 2 * x / 0, "contract", ""),
        (lambda x: x.tolist(), "contract", ""),
        (lambda x: None, "contract", ""),
    ],
    ids=["slip", "wrong", "shape with a slip", "shape", "infinite", "list", "nothing"],
)
def test_a_failure_says_its_layer_and_the_likely_slip(answer, layer, likely):
    said = failure(a_task(check), answer)
    assert (said.layer, said.likely) == (layer, likely)
    lines = str(said).splitlines()
    assert lines[0] == f"twice: not yet right ({SAID[layer]})."
    assert lines[-1] == "Equation: y = 2 x"
    assert said._render_traceback_() == lines
    assert said.__context__ is None  # the learner sees no second error


def test_a_failure_shows_the_equation_of_its_own_variant_only():
    def check_of_two(c):
        c.close(c.answer(1.0), 2.0 * c.variant, "one")

    two = a_task(check_of_two, equations=("y = 2 x", "y = 4 x"))
    assert two.variants == 2
    for variant, own in ((1, "y = 2 x"), (2, "y = 4 x")):
        said = failure(two, lambda x: x, variant=variant)
        assert str(said).splitlines()[-1] == f"Equation: {own}"


def test_two_values_of_the_answers_own_are_both_shown_and_neither_is_called_right():
    c = Checking(Answer(abs), Draws(0))
    c.agrees(2.0, 2.0, "again")
    said = failure(c.agrees, 442.46, 31.12, "again, longer", "divide by the norms")
    assert (said.layer, said.expected, said.likely) == (
        "property",
        "two equal values",
        "divide by the norms",
    )
    assert said.came == "31.12 before, 442.46 after"
    said = failure(c.agrees, 4.0, 2.0, "again", "a guess", was="first", slips={"twice": 4.0})
    assert said.likely == "twice" and said.came == "2 first, 4 after"
    assert failure(c.agrees, ONE, ONE[0], "another shape").layer == "contract"


def test_an_error_can_name_its_likely_slip():
    def by_an_if(x):
        return x if x > 0 else -x

    c = Checking(Answer(by_an_if), Draws(0))
    assert torch.equal(c.call(torch.ones(1), errors={}), torch.ones(1))
    said = failure(c.call, ONE, errors={"no such": "wrong", "ambiguous": "a mask, not an if"})
    assert (said.layer, said.likely) == ("contract", "a mask, not an if")
    assert failure(c.call, ONE, errors={}).likely == ""


def test_a_number_type_that_floats_ask_for_is_told_with_its_mend():
    c = Checking(Answer(abs), Draws(0))
    assert ".float()" in failure(c.tensor, ONE.long(), (2, 3), "case", torch.float32).likely


def test_an_answer_that_calls_the_package_is_right_and_told_that_it_earns_nothing(capsys):
    import t2i_course.grading.checks.ex02  # noqa: F401

    def written(imports, body):  # as in a notebook: imports and the answer in one namespace
        names = {}
        exec(f"{imports}\ndef f(mu, logvar, eps):\n    return {body}", names)
        return names["f"]

    own = "mu + (logvar / 2).exp() * eps"
    call = "reparameterise(mu, logvar, eps)"
    for imports, body in (
        ("from t2i_course.models.vae import reparameterise", call),
        (
            "from t2i_course.models.vae import reparameterise as packaged",
            call.replace("reparameterise", "packaged"),
        ),
        ("from t2i_course.models import vae", f"vae.{call}"),
    ):
        find("ex02-reparameterise")(written(imports, body))
        said = capsys.readouterr().out
        assert "package's own reparameterise" in said and "points" not in said
    find("ex02-reparameterise")(written("from t2i_course.models import vae", own))
    assert capsys.readouterr().out == "reparameterise: right. 2 points.\n"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_right_answer_passes_in_either_precision_and_is_told_its_points(dtype, capsys):
    a_task(check)(lambda x: 2 * x.to(dtype))
    assert capsys.readouterr().out == "twice: right. 3 points.\n"


def test_the_first_slip_that_fits_is_named_and_nan_fits_nothing():
    c = Checking(Answer(abs), Draws(0))
    said = failure(c.close, 3.0, 1.0, "case", slips={"a": 2.0, "b": 3.0, "c": 3.0})
    assert said.likely == "b"
    said = failure(c.close, float("nan"), 1.0, "case", slips={"a": float("nan")})
    assert said.likely == ""


def test_a_tensor_of_another_shape_is_not_close_and_its_shape_is_named():
    c = Checking(Answer(abs), Draws(0))
    said = failure(c.close, torch.ones(1), torch.ones(()), "case")
    assert (said.layer, said.expected, said.came) == ("contract", "shape []", "shape [1]")
    failure(c.close, torch.tensor(1 + 2j), 1.0, "case")  # and no warning of a part left out
    for no_number in (True, "1.0", None, [1.0]):
        assert failure(c.close, no_number, 1.0, "case").layer == "contract"


def test_equal_is_exact_and_knows_types():
    c = Checking(Answer(abs), Draws(0))
    c.equal(["a", 1], ["a", 1], "case")
    for value in (3.0, True, "3", torch.tensor(3)):
        assert failure(c.equal, value, 3, "case", slips={"four": 4}).likely == ""
    assert failure(c.equal, 4, 3, "case", slips={"four": 4}).likely == "four"


def test_a_check_that_meets_what_it_did_not_expect_gives_feedback():
    def careless(c):
        a, b = c.answer(1.0)
        c.close(a + b, 2.0, "a sum")

    for strange in (lambda x: None, lambda x: "ab", lambda x: [1.0]):
        said = failure(a_task(careless), strange)
        assert said.layer == "contract" and "twice: not yet right" in str(said)


def test_a_variant_that_the_task_has_not_is_an_error_of_the_caller():
    with pytest.raises(T2IError, match=r"has 1 variant"):
        a_task(check)(lambda x: 2 * x, variant=2)


def test_a_layer_that_there_is_not_is_an_error_of_the_check():
    with pytest.raises(AssertionError):
        CheckFailed("oracel", "case", "this", "that")


def test_the_hidden_seed_is_the_instructors_or_a_fresh_one(monkeypatch):
    monkeypatch.delenv("T2I_HIDDEN_SEED", raising=False)
    assert len({hidden_seed() for _ in range(4)}) > 1
    monkeypatch.setenv("T2I_HIDDEN_SEED", "41")
    assert hidden_seed() == 41
    for wrong in ("-1", "a", "1.5", "٣", str(2**64)):
        monkeypatch.setenv("T2I_HIDDEN_SEED", wrong)
        with pytest.raises(T2IError, match="T2I_HIDDEN_SEED"):
            hidden_seed()


def test_a_task_is_found_by_its_name():
    from t2i_course.grading.checks import ex02

    assert find("ex02-kl") is ex02.check_kl
    with pytest.raises(T2IError, match=r"Did you mean 'ex02-kl'"):
        find("ex02-kll")


def test_values_are_shown_in_a_line():
    assert shown(torch.arange(3)) == "[0, 1, 2]"
    assert shown(torch.tensor(0.5)) == "0.5"
    assert shown(torch.zeros(3, 4)).endswith("…] of shape [3, 4]")
    assert shown(torch.tensor([123456789])) == "[123456789]"
    assert len(shown("x" * 1000)) < 210
