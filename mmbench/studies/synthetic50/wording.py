"""Our own prompts for the fifty: four per identity, short and long, with the class word before the trigger `img`."""

from __future__ import annotations

from dataclasses import dataclass

from mmbench.synth.identity import Group
from mmbench.trigger import TRIGGER

CLASS_WORD: dict[Group, str] = {
    "man": "man", "woman": "woman", "elderly man": "man", "elderly woman": "woman", "boy": "boy",
    "girl": "girl", "baby": "baby"
}  # fmt: skip


@dataclass(frozen=True)
class Wording:
    """One prompt of one identity: the short standardised form and the long one."""

    index: int
    short: str
    long: str


# Per prompt index, what is being done (a phrase) and how the long form goes on. The order of the four fits the motion
# that the control systems play for that index: lively, talking, looking about, nodding.
_GROWN = (
    (
        (
            "chatting cheerfully with a friend",
            "Turning from side to side, {he} tells a story and breaks into a smile half-way through.",
        ),
        (
            "laughing at an old joke",
            "A smile spreads slowly over {his} face while {he} shakes {his} head in disbelief.",
        ),
        (
            "greeting guests with a warm smile",
            "{He} turns to one guest after another, nods and says a few welcoming words.",
        ),
        ("recalling a happy memory", "{His} eyes wander, {he} tilts {his} head and begins to smile."),
    ),
    (
        (
            "explaining a recipe to the camera",
            "{He} speaks calmly and clearly, swaying a little as {he} counts the steps.",
        ),
        (
            "reading a poem aloud",
            "{His} lips shape every word with care and {his} weight shifts with the rhythm.",
        ),
        (
            "giving a short interview",
            "{He} answers without hurry, raising {his} brows at the surprising questions.",
        ),
        (
            "telling a bedtime story",
            "{His} voice rises and falls; {his} mouth opens wide when the dragon appears.",
        ),
    ),
    (
        (
            "looking around and smiling",
            "{His} gaze travels from left to right before it settles and {he} smiles.",
        ),
        (
            "admiring a painting",
            "{He} studies it from one side and the other, blinks and smiles with approval.",
        ),
        ("watching birds overhead", "{His} eyes follow their flight and a quiet smile appears."),
        (
            "waiting for an old friend to arrive",
            "{He} looks one way, then the other, and smiles in expectation.",
        ),
    ),
    (
        ("nodding along to music", "{He} keeps the beat with {his} head and sways gently from foot to foot."),
        (
            "listening attentively to a speaker",
            "{He} nods in agreement now and then and shifts {his} weight.",
        ),
        ("agreeing with a good idea", "Several slow nods show that {he} is convinced."),
        ("humming a familiar tune", "{His} head bobs softly in time while {he} rocks to and fro."),
    ),
)
_CHILD = (
    (
        (
            "giggling at a puppet show",
            "{He} leans one way and the other to see everything and bursts into a smile.",
        ),
        (
            "describing a new toy with excitement",
            "{He} turns {his} head to friends left and right and grins from ear to ear.",
        ),
        ("showing off a big smile", "First shy, then delighted, {he} turns {his} face about and beams."),
        ("playing a guessing game", "{He} thinks, tilts {his} head and laughs when the answer comes."),
    ),
    (
        (
            "singing a song learned at school",
            "{His} mouth opens wide on the long notes and {he} sways with the melody.",
        ),
        ("telling a secret to a friend", "{He} talks quickly, brows raised, shifting from foot to foot."),
        (
            "counting out loud to twenty",
            "Every number is spoken carefully and {he} rocks a little with each one.",
        ),
        ("talking about a holiday at the sea", "Words tumble out as {he} sways and remembers the waves."),
    ),
    (
        ("looking around curiously", "{His} eyes dart about before a smile shows that {he} has found it."),
        ("searching the sky for a kite", "{He} looks left, right and up again, blinks and smiles."),
        ("following a butterfly with the eyes", "{His} head turns after it slowly and {he} smiles."),
        ("waiting for a birthday surprise", "{He} peeks to both sides and can hardly hide a smile."),
    ),
    (
        ("nodding eagerly", "Yes, yes and yes again: {he} nods and sways with impatience."),
        ("dancing a little to a drum", "{His} head bobs to the beat while {he} moves from side to side."),
        ("listening to a grandparent's story", "{He} nods at every turn of the tale and rocks gently."),
        ("agreeing to share the last biscuit", "A few serious nods, and {he} shifts from foot to foot."),
    ),
)
_INFANT = (
    (
        ("gurgling happily", "The little face turns this way and that and lights up in a smile."),
        ("smiling at a rattle", "The head wobbles towards the sound and a smile appears."),
    ),
    (
        ("babbling to a parent", "The mouth opens and closes with every sound and the body sways."),
        ("trying out new sounds", "Lips round and open again while the baby rocks to and fro."),
    ),
    (
        ("looking around with wide eyes", "The gaze drifts from one side to the other and ends in a smile."),
        ("watching a mobile turn", "Big eyes follow the shapes, blink, and a smile grows."),
    ),
    (
        ("bouncing gently to a lullaby", "The head bobs up and down while somebody sways with the child."),
        ("nodding off and waking again", "The head dips and rises, the body rocks from side to side."),
    ),
)
_PLACES: tuple[tuple[str, str], ...] = (
    ("in a bright kitchen", "Morning light falls through the window onto a tidy kitchen."),
    ("in a sunny garden", "Behind, a hedge and a lawn lie out of focus in soft sunlight."),
    ("in front of a plain studio wall", "The wall is evenly lit and keeps all attention on the face."),
    ("on a balcony at dusk", "City lights blur into round spots of colour in the background."),
    ("in a quiet library", "Rows of books dissolve into a warm blur behind."),
    ("by a window on a rainy day", "Grey daylight from one side models the face softly."),
    ("in a park in spring", "Fresh green leaves glow out of focus in the background."),
    ("in a cosy living room", "Framed pictures hang on the wall and a lamp gives a warm light."),
    ("at a small railway station", "A pale platform and a distant train form a calm backdrop."),
    ("in an art gallery", "White walls and a few frames surround the scene."),
    ("at a seaside promenade", "Sea and sky merge into a pale blue haze behind."),
)
_PRONOUNS = {
    "male": {"he": "he", "He": "He", "his": "his", "His": "His"},
    "female": {"he": "she", "He": "She", "his": "her", "His": "Her"},
}
_SHOT = "A steady close-up of head and shoulders, natural colours, every detail of the face in view."


def prompts(group: Group, sex: str, number: int) -> list[Wording]:
    """The four prompts of the `number`-th identity of the set (counted over all groups)."""
    pools = _INFANT if group == "baby" else _CHILD if group in ("boy", "girl") else _GROWN
    word = CLASS_WORD[group]
    subject = f"{'An elderly' if group.startswith('elderly') else 'A'} {word} {TRIGGER}"
    made = []
    for index, pool in enumerate(pools):
        doing, detail = pool[(number + index) % len(pool)]
        place, setting = _PLACES[(3 * number + 2 * index) % len(_PLACES)]
        short = f"{subject} {doing} {place}."
        long = f"{subject} is {doing} {place}. {detail.format(**_PRONOUNS[sex])} {setting} {_SHOT}"
        made.append(Wording(index, short, long))
    return made
