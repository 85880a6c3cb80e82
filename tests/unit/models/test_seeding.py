import subprocess
import sys

import numpy as np

from models.seeding import derive_seed, generator, torch_generator


def test_purposes_are_apart():
    seeds = [
        derive_seed(0, "ab", "c"),
        derive_seed(0, "a", "bc"),
        derive_seed(0, "abc"),
        derive_seed(1, "abc"),
        derive_seed(0, "1"),
        derive_seed(0, 1),
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_same_in_every_process():
    code = "from models.seeding import derive_seed; print(derive_seed(3, 'landmark', 7))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": h}, capture_output=True, text=True
        ).stdout
        for h in ("0", "7")
    }
    assert seen == {f"{derive_seed(3, 'landmark', 7)}\n"}


def test_streams_repeat():
    np.testing.assert_array_equal(generator(0, "x").normal(size=5), generator(0, "x").normal(size=5))
    assert torch_generator(0, "x").initial_seed() == torch_generator(0, "x").initial_seed()


def test_mean_of_many_streams_is_that_of_independent_draws():
    draws = np.array([generator(0, "batch", step).random() for step in range(4000)])
    assert abs(draws.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 4000)
    assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < 4 / np.sqrt(4000)
