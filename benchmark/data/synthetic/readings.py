"""Sentences read aloud by strangers, with what they say: what a small speech recogniser is trained on.

The corpus has a few dozen sentences, and a recogniser trained on those would know them by heart. So further
sentences are put together from a small grammar over everyday words, each read once by a voice that is no
speaker of the corpus, with some emotion. None of them is a sentence of the corpus, and every word of the
grammar comes up equally often within its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from benchmark.data.synthetic.network import voice_identity
from benchmark.data.synthetic.sentences import SENTENCES, Sentence
from benchmark.data.synthetic.speech import SpeechSynthesizer
from benchmark.data.synthetic.voices import STRENGTH, Speaker
from models.types import MEAD_EMOTIONS, Transcribed

VERSION = 1
"""Raised whenever the same count gives other readings."""
READERS: tuple[Speaker, ...] = (
    Speaker(id="reader-1", f0_scale=0.94, formant_scale=0.93, tempo=1.04, breath=-28.0),
    Speaker(id="reader-2", f0_scale=0.56, formant_scale=0.84, tempo=1.16, breath=-31.0, f0_range=1.1),
    Speaker(id="reader-3", f0_scale=1.06, formant_scale=0.97, tempo=1.12, breath=-24.0, tilt=-0.4),
    Speaker(id="reader-4", f0_scale=0.66, formant_scale=0.87, tempo=1.02, breath=-28.0, tilt=0.3),
    Speaker(id="reader-5", f0_scale=1.20, formant_scale=1.00, tempo=1.10, breath=-27.0, f0_range=0.9),
    Speaker(id="reader-6", f0_scale=0.80, formant_scale=0.90, tempo=1.18, breath=-23.0, tilt=-0.7),
)

_WORDS: dict[str, str] = {
    # People, as subjects and as objects
    "person": """the teacher | my sister | our uncle | the farmer | his daughter | the nurse | my grandfather
        | the captain | her husband | the young artist | the new student | their cousin | the driver
        | the old sailor | my best friend | the police officer | the shop owner | his wife | the mechanic
        | our guide | the mayor | a stranger | my aunt | the writer | the gardener | the chef | a tourist
        | the lawyer | the scientist | your grandmother | the postman | the photographer | the singer
        | the engineer | the dentist | the waiter | their nephew | the coach | the librarian | my roommate
        | the pilot | the carpenter | an old soldier | the princess | the secretary | the whole family
        | Susan | George | Edward | Martha | Patrick | Alice | Walter | Julia""",
    "people": """the workers | the boys | two girls | several students | the neighbors | some tourists
        | the sailors | my parents | our friends | both brothers | the players | a few guests | the twins
        | the passengers | many families | the villagers | three nurses | the musicians | the writers
        | six engineers | the women | most people | the farmers | the soldiers | the nephews""",
    "pronoun": "he | she | they | we | I | you",
    # Things
    "thing": """letter | basket | ladder | bottle | candle | blanket | hammer | guitar | camera | suitcase
        | bicycle | bucket | carpet | mirror | clock | lantern | notebook | pencil | pillow | rope | saddle
        | shovel | statue | teapot | ticket | towel | trumpet | violin | wallet | whistle | wheel | kettle
        | helmet | jewel | knife | magazine | needle | newspaper | painting | photograph | purse | radio
        | ribbon | ring | scarf | shirt | sweater | sword | toy | vase | watch | wagon | telephone | stool
        | bell | brush | chain | coin | cradle | flag | fork | jar | jug | lock | plate | rug | sack | sail
        | shelf | spoon | stamp | tent | torch | tray | treasure chest | birdcage | fishing net | cushion
        | dictionary | calendar | compass | microphone | computer | keyboard | screwdriver | cardboard box""",
    "things": """letters | baskets | bottles | candles | blankets | cameras | suitcases | mirrors | clocks
        | pencils | pillows | ropes | statues | tickets | towels | knives | newspapers | paintings
        | photographs | ribbons | rings | scarves | shirts | toys | vases | watches | wheels | bells
        | brushes | coins | flags | jars | plates | rugs | sacks | shelves | spoons | stamps | tents
        | boxes | cushions | branches | pebbles | feathers | bricks | tools | buttons | shells""",
    "quality": """small | large | broken | heavy | beautiful | cheap | expensive | dusty | golden | silver
        | red | orange | purple | white | black | pink | dark blue | bright green | square | smooth | rough
        | strange | ordinary | modern | ancient | useful | tiny | huge | wet | dry | plain | striped
        | second | third | last | missing | lovely | curious | famous | dirty | clean | soft | curved""",
    "state": """too heavy | almost empty | quite new | very old | completely broken | covered with dust
        | worth a fortune | ready to use | still wet | badly damaged | lighter than it looks | not for sale
        | as good as new | made of glass | easy to clean | hard to find | rather ugly | much too short
        | exactly right | terribly expensive | already gone | full of water | perfectly safe
        | half finished | difficult to move | surprisingly cheap | from another century""",
    "did": """found | bought | sold | carried | dropped | borrowed | brought | chose | cleaned | covered
        | discovered | drew | fixed | forgot | hid | held | kept | left | lost | noticed | opened | packed
        | painted | placed | pulled | pushed | received | repaired | returned | saw | shook | showed
        | stole | took | threw away | touched | used | wanted | washed | wrapped | picked up | put down
        | caught | measured | needed | recognized | remembered | examined | described | collected""",
    "place": """under the bridge | behind the church | in the kitchen | on the roof | near the station
        | beside the river | at the market | in the attic | by the lake | in front of the theater
        | on the balcony | inside the castle | across the street | between two hills | in the cellar
        | at the end of the hallway | next to the fireplace | outside the hospital | around the corner
        | in a quiet square | on the highest shelf | among the trees | above the door | in the waiting room
        | along the coast | at the airport | in the middle of the field | beneath the stairs
        | on a sandy island | in the northern mountains | at the edge of the desert | in the city center
        | on the kitchen table | through the tunnel | in my pocket | on the second floor | at the university
        | in the laundry room | over the fence | by the swimming pool | in the basement | on the ground
        | against the wall | beyond the orchard | within the old fortress | toward the lighthouse""",
    "goal": """the museum | the dentist | the harbor | the library | the office | the beach | the theater
        | the village | the bakery | the mountains | the airport | the hospital | the concert | the market
        | the post office | the farm | the station | the lake | the restaurant | the castle | the church
        | the stadium | the city | the country | the factory | the university | the zoo | the island
        | the bank | the garage | the court | the cottage | the festival | the pharmacy | the forest""",
    "went": """went | walked | drove | hurried | came back | rode a horse | ran | took a taxi | returned
        | traveled | rushed | sailed | cycled | flew | decided to go | wandered | marched
        | moved | followed us | used to go | had to go | could not go | did not go""",
    "time": """yesterday | this morning | last night | on Friday | after dinner | before sunrise | at midnight
        | in the afternoon | every Sunday | next week | in December | an hour ago | twice a year | at once
        | on Wednesday evening | last summer | for three weeks | at a quarter to eight
        | during the storm | in early spring | on Saturday | on Tuesday | around noon
        | later that day | on her birthday | at the weekend | for the first time | in the autumn
        | the day before | once more | in a hurry | without a word | with great care
        | all by himself | as usual | for a while | again and again | at five o'clock | after the wedding
        | in October | a long time ago | from time to time | as soon as possible | in the meantime""",
    "often": """always | never | often | sometimes | usually | rarely | seldom | generally | hardly ever
        | frequently | only | also | still | probably | certainly""",
    "habit": """play cards | sing in the choir | drink tea | read the news | watch the birds | sleep late
        | work in the garden | listen to the radio | write long letters | eat outside | go fishing
        | cook for everyone | study history | travel by train | dance | speak French | wear a jacket
        | arrive early | buy vegetables | swim in the ocean | visit their relatives | wash the dishes
        | walk the dog | learn new words | drive to work | feed the chickens | make their own bread
        | practice the violin | take photographs | leave before ten | talk about music | complain
        | argue about money | knit sweaters | build model ships | call home | pay in cash | laugh at jokes
        | fall asleep | ride horses | follow the rules | stay indoors | skip breakfast | grow tomatoes""",
    # Food
    "food": """soup | rice | chicken | fresh fish | roast beef | potatoes | carrots | onions | salad | cheese
        | pancakes | noodles | apple pie | mushrooms | beans | boiled eggs | ham | toast | cabbage
        | strawberries | peaches | walnuts | pears | cherries | butter | honey | chocolate cake | lemons
        | pumpkin | sausages | spinach | grapes | pudding | lamb | corn | biscuits | garlic | peppers
        | oysters | lettuce | oatmeal | cucumbers | raisins | melon | shrimp | jam | yogurt | cream""",
    "cooked": """cooked | ate | served | ordered | prepared | offered us | tasted | brought | shared | made
        | refused | bought | cut up | fried | wanted | burned""",
    "meal": "breakfast | lunch | dinner | supper | the picnic | the party | everyone | the guests | dessert",
    # Vehicles, animals and nature
    "vehicle": """the train | the bus | a truck | the ship | the taxi | the plane | an ambulance | the boat
        | the ferry | the subway | a tractor | the helicopter | the express | his motorcycle
        | the fire engine | a long black car | the canoe | the wagon""",
    "drove": """stopped | turned around | disappeared | arrived | slowed down | broke down | waited
        | left without us | crossed the bridge | passed the tower | was delayed | got stuck in the mud
        | raced past | came to rest | made a loud noise | blocked the road | reached the coast
        | departed on schedule | was cleaned and repaired""",
    "animal": """the dog | a gray cat | the horse | an owl | the monkey | a brown bear | the rabbit
        | two ducks
        | the elephant | a young fox | the parrot | seven sheep | the goose | a squirrel | the donkey
        | a pair of swans | the tiger | the puppy | a flock of pigeons | the whale | the turtle | a wolf
        | the kitten | some cows | a butterfly | the spider | an eagle | the mouse | a frog""",
    "moved": """slept | was hiding | jumped | was looking for food | waited quietly | ran away | sat down
        | made its home | was born | could be heard | stood still | rested | turned up | ate some leaves
        | was making a noise | disappeared | left a trail | was drinking | watched us | was playing
        | crawled slowly | dug a hole | was found""",
    "weather": """it rained heavily | the wind was blowing | snow was falling | the sun was shining
        | a thunderstorm began | the sky turned pink | it was freezing | the fog was thick
        | the air was warm | clouds were gathering | there was lightning | the ground was icy
        | the temperature dropped | the moon was bright | the waves were high | a rainbow appeared
        | the heat was unbearable | it was quite cool""",
    # Clauses
    "clause": """the shop was closed | nobody answered the phone | the lights went out | we missed the train
        | there was no milk | the music stopped | he had lost his keys | she knew the truth
        | they needed more help | it was getting late | the answer was wrong | the price was fair
        | everything would change | the guests had arrived | the plan was dangerous | he could not see
        | she passed the exam | the water was cold | the road was flooded | the story was true
        | nothing had happened | dinner was ready | the window was open | somebody was knocking
        | the game was over | they had enough time | the engine sounded strange | I was right
        | the baby was asleep | we should leave | it would be easy | the building was empty
        | the choice was difficult | you were at home | the message was clear | the doors were locked
        | he was only joking | the bill was huge | our luck would change | the judge agreed
        | the floor was slippery | the task was impossible""",
    "said": """said that | thought that | knew that | believed that | was afraid that | told me that
        | explained that | hoped that | noticed that | was sure that | promised that | heard that
        | felt that | was surprised that | wrote that | guessed that | agreed that | pretended that
        | was glad that | did not care that | realized that | suggested that""",
    "link": """because | when | while | before | after | although | so | but | since | even though
        | whenever | just as""",
    "reason": "because | but | although | and | so | even though | which means that",
    "need": """wanted to | had to | tried to | forgot to | hoped to | needed to | decided to | refused to
        | promised to | was allowed to | managed to | began to | planned to | learned to | was asked to
        | was able to | happened to | was going to""",
    "act": """open the window | finish the job | answer the question | climb the mountain | write a report
        | catch the early bus | build a house | sell the furniture | cross the river | fix the engine
        | find a cheaper room | explain the rules | meet the director | change the subject | light a fire
        | borrow some money | learn the language | check the weather | paint the ceiling
        | choose a present | join the army | move to another town | throw the ball | close the account
        | clean the bathroom | follow the path | carry the luggage | speak to the nurse | sign the contract
        | wake the children | buy a ticket | keep the secret | ask for directions | study medicine
        | taste the sauce | measure the width | measure the height | solve the problem | solve the puzzle
        | hang the picture | cut the grass | turn on the lamp | turn off the light | wait for the result
        | describe the route | gather firewood | weigh the package | judge the contest | pour the juice
        | shut the gate | sharpen the knife | invite the neighbors | start a business | breathe deeply""",
    "number": """two | three | four | five | six | seven | eight | nine | ten | eleven | twelve | thirteen
        | fifteen | twenty | thirty | forty | fifty | a hundred | a dozen | several | many | a few | enough
        | sixteen | eighteen | ninety""",
    "order": """please | don't | you must | we can | let's | you should | they will | I'd like to | try to
        | somebody has to | she might | I can't | we'll | he didn't | it's time to | you needn't
        | why don't we
        | could you | would you | shall we""",
    "lead": """can you tell me where | I don't know whether | do you know how much | nobody told me that
        | I wonder why | she asked me if | it isn't clear whether | show me where | I doubt that
        | he wants to know when | we're not sure if | who said that""",
    "topic": """the price | the color | the size | the weight | the value | the history
        | the quality | the length | the surface | the inside | the edge | the purpose
        | the bottom | the other half | the shape | the cost | the design | the width | the height""",
    "measure": "price | color | quality | weight | smell | taste | freshness | amount | flavor | temperature",
    "opinion": """is a mystery | was a surprise | doesn't matter | has changed | is well known | is unusual
        | was never discussed | isn't important | caused some trouble | is easily explained | was on the label
        | was the main problem | is impossible to guess | has not been decided
        | made everyone laugh | was obvious | seems about right | could be better""",
}  # fmt: skip

_TEMPLATES: tuple[str, ...] = (
    "{person} {did} a {quality} {thing} {place}",
    "{person} {did} the {thing} {time}",
    "{people} {did} the {quality} {things} {place}",
    "{person} {went} to {goal} {time}",
    "{people} {went} to {goal} {link} {clause}",
    "{pronoun} {went} to {goal} {link} {weather}",
    "the {thing} {place} is {state}",
    "the {quality} {thing} was {state} {reason} {clause}",
    "{people} {often} {habit} {time}",
    "they {often} {habit} {link} {weather}",
    "there were {number} {things} {place}",
    "{person} {did} {number} {quality} {things} {time}",
    "{person} {cooked} {food} and {food} for {meal}",
    "the {food} with {food} was for {meal}",
    "{vehicle} {drove} {place} {time}",
    "{vehicle} {drove} {link} {weather}",
    "{animal} {moved} {place} {link} {weather}",
    "{animal} and {animal} were {place} {time}",
    "{person} {said} {clause}",
    "{time} {weather} and {clause}",
    "{person} {need} {act} {time}",
    "{person} {need} {act} {link} {clause}",
    "{order} {act} {time}",
    "{order} {act} or {act}",
    "{lead} {person} {did} the {thing}",
    "{lead} {clause}",
    "{topic} of the {quality} {thing} {opinion}",
    "the {measure} of the {food} {opinion}",
)


def texts(count: int) -> tuple[str, ...]:
    """The first `count` sentences: a fixed list, all different, none of them in the corpus."""
    rng = np.random.default_rng(list(b"sentences to be read"))
    decks = {
        name: _Deck([" ".join(w.split()) for w in words.split("|")], rng) for name, words in _WORDS.items()
    }
    templates = _Deck(_TEMPLATES, rng)
    taken = {plain(sentence.text) for sentence in SENTENCES}
    made: list[str] = []
    while len(made) < count:
        words = re.sub(r"\{(\w+)\}", lambda slot: decks[slot[1]].draw(), templates.draw())
        words = re.sub(r"\ba (?=[aeio]|u[glnp])", "an ", words)
        text = words[0].upper() + words[1:] + "."
        if plain(text) not in taken:
            taken.add(plain(text))
            made.append(text)
    return tuple(made)


def readings_identity() -> str:
    """Return what the readings depend on: the code's version and the voice."""
    return f"readings v{VERSION} {voice_identity()}"


def readings(count: int) -> Iterator[Transcribed]:
    """The first `count` sentences as they are read; the same bits at every call."""
    synthesizer = SpeechSynthesizer(remembered=1)
    for number, text in enumerate(texts(count)):
        rng = np.random.default_rng(list(f"reading/{number}/{text}".encode()))
        reader = READERS[number % len(READERS)]
        emotion = MEAD_EMOTIONS[rng.integers(len(MEAD_EMOTIONS))]
        intensity = 1 if emotion == "neutral" else int(rng.choice(list(STRENGTH)))
        spoken = synthesizer.utterance(Sentence(f"r{number}", text, False), reader, emotion, intensity, rng)
        yield Transcribed(spoken.waveform, text)


def plain(text: str) -> str:
    """Words alone, to compare sentences by."""
    return " ".join(re.findall(r"[a-z']+", text.lower()))


class _Deck:
    """Choices that are drawn in random order, each once before any comes again."""

    def __init__(self, choices: Sequence[str], rng: np.random.Generator) -> None:
        self._choices = list(choices)
        self._rng = rng
        self._left: list[str] = []

    def draw(self) -> str:
        if not self._left:
            self._left = [self._choices[i] for i in self._rng.permutation(len(self._choices))]
        return self._left.pop()
