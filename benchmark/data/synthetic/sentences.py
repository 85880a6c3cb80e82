"""The sentences of the embedded corpus: what is said, not how.

As in MEAD, some sentences are spoken with every emotion (they are what pseudo pairs are made from) and the
others with some. All are short statements that carry no emotion by their words, written for this project;
together they hold every phoneme of the voice's American English, and each takes 2 to 3.5 s when spoken.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sentence:
    id: str
    text: str
    shared: bool
    """Spoken with every emotion and intensity by every speaker."""


_SHARED = (
    "The yellow ferry leaves the harbor at half past four.",
    "She put a measure of sugar in both of the cups.",
    "My brother moved his piano into the back bedroom.",
    "We walked along the beach until the church bells rang.",
    "They found a small wooden box below the garage floor.",
    "Five thin sheets of paper were lying on the desk.",
    "Our neighbor usually feeds the horses before breakfast.",
    "You should look at the picture that hangs over there.",
    "The boy in the blue jacket is waiting for a train.",
    "He poured the hot water slowly over the coffee.",
    "A package from my uncle came to the house on Thursday.",
    "Nobody knew which of the doors would open first.",
    "The judge asked him to choose a number and a color.",
    "Most visitors go up to the tower by the old stairs.",
)

_OTHERS = (
    "I bought a pair of brown leather shoes in the village.",
    "The baker sells fresh bread and cheese on the corner.",
    "Her youngest cousin works in a furniture shop.",
    "Please move those heavy chairs away from the window.",
    "The river turns south behind the power station.",
    "Three of us share an office with a view of the park.",
    "He wrote the address on the back of a yellow envelope.",
    "The morning bus was already full when we got on.",
    "Both maps show a narrow path through the forest.",
    "They usually play chess under the big oak tree.",
    "A thick cloud of smoke rose over the valley.",
    "The doctor told me to come back the following week.",
    "We could hear the engine of a boat in the fog.",
    "She carried a round basket of apples to the kitchen.",
    "The manager gave each of the visitors a key.",
    "Put the cold soup on the stove and wash the bowls.",
    "The children drew a giant fish on the school wall.",
    "My father goes to the library every other Monday.",
    "Two men were painting the bridge near the airport.",
    "He always wears a gray hat and a pair of gloves.",
    "The meeting begins at nine and should be over by noon.",
    "There is a shallow pool of water behind the barn.",
    "Nine people voted for the change and two against it.",
    "The tall woman by the fence is a music teacher.",
    "We took the wrong road and stopped at a farm.",
    "The lamp above the mirror has a green glass shade.",
    "Someone left an umbrella beside the garden gate.",
    "He counted the money twice and put it in a drawer.",
    "Fog covered the hills as the sun came up this morning.",
    "The television in the hotel lobby was switched off.",
)

SENTENCES: tuple[Sentence, ...] = tuple(
    Sentence(id=f"{prefix}{number:02d}", text=text, shared=shared)
    for prefix, texts, shared in (("s", _SHARED, True), ("o", _OTHERS, False))
    for number, text in enumerate(texts, start=1)
)
