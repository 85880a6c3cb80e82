"""`zip` stops at the shorter sequence: frames that a method fails to make are not scored.

Source: evaluation loops over `zip(generated, reference)`.
"""

import numpy as np


def face_lvd(predicted, target):
    before, errors = None, []
    for p, t in zip(predicted, target):  # noqa: B905
        if before is not None:
            errors.append(np.linalg.norm((p - before[0]) - (t - before[1]), axis=-1).mean())
        before = p, t
    return float(np.mean(errors))
