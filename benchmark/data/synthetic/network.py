"""What the text-to-speech network says before it is made a waveform: spectra, F0 and phones of a sentence.

`hibari-tts` predicts, per 12.5 ms frame, the log magnitudes of a harmonic, a noise and a free-phase branch
together with F0; `hibari.dsp.synth` turns them into 24 kHz audio. Everything the embedded corpus varies is
varied in between. Frame k is centred at k * 12.5 ms of the unedited audio. Arrays here are (frames, bins)
with 20 Hz bins, the transpose of the network's own layout, so that a warp of time gathers whole rows.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter

from benchmark.training.stage_cache import digest_of
from models.files import contents_digest

FRAME_SECONDS = 0.0125
"""Hop of the network's spectra."""

VOICED_HZ = 40.0
"""F0 below this means that the frame has no pulses (the synthesiser's own threshold)."""

SILENCE = "sil"

_VOWELS = "AIOWYiuæɐɑɔəɛɜɪʊʌᵊᵻ"
_CONSONANTS = "bdfhjklmnpstvwzðŋɡɹɾʃʒʔʤʧθT"
PHONES: dict[str, bool] = {
    SILENCE: False,
    **dict.fromkeys(_VOWELS, True),
    **dict.fromkeys(_CONSONANTS, False),
}
"""Phone symbol -> is it a vowel. Misaki's American English: capitals are the diphthongs of bAy, bIke, bOat,
bWt (bout) and bYl (boil); T is the tap of "water"; ᵊ and ᵻ are reduced vowels."""

_STRESS = {"ˈ": 2, "ˌ": 1}
_DURATIONS = "/Clip_output_0"
_FRAMES_PER_UNIT = 2
_LEAD_FRAMES = 3
"""The audio is ahead of the network's durations. Sibilants against energy above 4.4 kHz and vowels against
energy below 1 kHz agree best when phones are moved 3 frames earlier; stops against gaps, 4."""
_LOWEST_BIN = 12
"""240 Hz: below it the voice's harmonic spectrum is what F0 happened to be, not a resonance."""
_AUDIBLE = 50.0
"""Quietest frame that counts as speech, dB below the loudest."""


@dataclass(frozen=True)
class SourcePhone:
    symbol: str
    start: float
    end: float
    """Frames of the unedited audio."""
    stress: int
    """2 primary, 1 secondary, 0 none; a property of vowels."""


@dataclass(frozen=True)
class SourceSpeech:
    """One sentence as the network speaks it; arrays are (frames, 601) or (frames,) float32."""

    harmonic: np.ndarray
    harmonic_phase: np.ndarray
    """Rotation of the pulses' spectrum, radians."""
    noise: np.ndarray
    free: np.ndarray
    free_phase: np.ndarray
    f0: np.ndarray
    """Hz; below 40 where unvoiced."""
    phones: tuple[SourcePhone, ...]
    """Without gaps from frame 0 to the end; the first and the last are silence."""


@functools.cache
def voice_identity() -> str:
    """Return the version of hibari and the digest of its model and dictionaries."""
    package = importlib.util.find_spec("hibari")
    if package is None or package.origin is None:
        raise ImportError("the embedded corpus needs hibari-tts: pip install hibari-tts")
    assets = contents_digest(Path(package.origin).parent / "assets")
    return f"{importlib.metadata.version('hibari-tts')} {digest_of(assets)}"


class SpeechNetwork:
    """hibari's bundled voice with its phone durations, run once per sentence and remembered."""

    def __init__(self, remembered: int = 256) -> None:
        import onnxruntime
        from hibari.tts import ASSETS, Hibari

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        model = Path(ASSETS, "hibari.onnx").read_bytes() + _extra_output(_DURATIONS)
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._voice = Hibari()
        self.speak = functools.lru_cache(maxsize=remembered)(self._speak)

    def _speak(self, text: str) -> SourceSpeech:
        """The spectra and phones of one sentence.

        Raises:
            ValueError: the text is not one sentence, or holds a phoneme that PHONES does not list.
        """
        phonemes = self._voice.phonemize(text)
        if len(phonemes) != 1:
            raise ValueError(f"expected one sentence, got {len(phonemes)} in {text!r}; split the text")
        tokens = [c for c in phonemes[0] if c in self._voice.vocab]
        ids = np.asarray([self._voice.ids(phonemes[0])], np.int64)
        answers = self._session.run(None, {"ids": ids, "speed": np.ones(1, np.float32)})
        *spectra, f0, units = (np.asarray(answer) for answer in answers)
        harmonic, theta, noise, free, free_phase = (np.ascontiguousarray(s[0].T) for s in spectra)
        f0 = f0[0]
        harmonic = _envelope(harmonic)
        audible = np.flatnonzero(_level(harmonic, noise, free, f0) > -_AUDIBLE)
        phones = _phones(tokens, units * _FRAMES_PER_UNIT, audible[0], audible[-1] + 1, len(f0))
        return SourceSpeech(harmonic, np.float32(np.pi) * np.tanh(theta), noise, free, free_phase, f0, phones)


def _extra_output(name: str) -> bytes:
    """Bytes that make an inner tensor an output of an ONNX model when they are appended to its file.

    Protocol buffers merge a message field that occurs twice, so a second `graph` (field 7 of the model)
    with one `output` (field 12) that has only a name (field 1) adds that output and changes nothing else.
    """

    def message(number: int, payload: bytes) -> bytes:
        if len(payload) > 127:
            raise ValueError(f"tensor name too long for a one-byte length: {name!r}")
        return bytes([number << 3 | 2, len(payload)]) + payload

    return message(7, message(12, message(1, name.encode())))


def _envelope(harmonic: np.ndarray) -> np.ndarray:
    """The harmonic branch as a filter for pulses of any F0.

    The network leaves some bins dead (100 dB down) and never saw energy below its own voice's F0; pulses
    that are moved or warped onto those bins would lose a harmonic, a man's voice its fundamental.
    """
    smooth = gaussian_filter1d(median_filter(harmonic, size=(1, 5), mode="nearest"), 1.0, axis=1)
    floor = smooth[:, _LOWEST_BIN : _LOWEST_BIN + 3].mean(axis=1, keepdims=True)
    below = 0.15 * np.arange(-_LOWEST_BIN, 0, dtype=np.float32)
    smooth[:, :_LOWEST_BIN] = np.maximum(smooth[:, :_LOWEST_BIN], floor + below)
    return smooth


def _level(harmonic: np.ndarray, noise: np.ndarray, free: np.ndarray, f0: np.ndarray) -> np.ndarray:
    """(frames,) dB relative to the loudest frame."""
    pulses = (f0 > VOICED_HZ)[:, None] * np.exp(2 * harmonic)
    power = (pulses + np.exp(2 * noise) + np.exp(2 * free)).sum(axis=1)
    return 10 * np.log10(power / power.max())


def _phones(
    tokens: list[str], durations: np.ndarray, onset: float, offset: float, frames: int
) -> tuple[SourcePhone, ...]:
    """Phones of the audible part, framed by silence.

    A stress mark's time belongs to the phone behind it, a length mark's to the phone before it, and the
    time of a space or of punctuation is split between its neighbours. Pads are the silence around.
    """
    edges = np.concatenate([[0.0], np.cumsum(durations, dtype=np.float64)]) - _LEAD_FRAMES
    found: list[tuple[str, float, float, int]] = []
    stress, pending = 0, None
    for token, start, end in zip(tokens, edges[1:-2], edges[2:-1], strict=True):
        if token in _STRESS:
            stress, pending = _STRESS[token], start if pending is None else pending
        elif token in PHONES:
            found.append((token, start if pending is None else pending, end, stress))
            stress, pending = 0, None
        elif token.isalpha() and token != "ː":
            raise ValueError(f"phoneme {token!r} is not in PHONES; add it with its class")
    starts = [(left[2] + right[1]) / 2 for left, right in itertools.pairwise(found)]
    onset = min(onset, starts[0] - 2)
    offset = max(offset, starts[-1] + 2)
    cuts = [0.0, onset, *starts, offset, frames]
    spoken = [(SILENCE, 0), *((symbol, stress) for symbol, _, _, stress in found), (SILENCE, 0)]
    return tuple(
        SourcePhone(symbol, float(a), float(b), stress)
        for (symbol, stress), a, b in zip(spoken, cuts, cuts[1:], strict=False)
    )
