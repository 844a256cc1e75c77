"""Makes long conversations of the kind that LoCoMo has: what one person said over a year, and questions to it.

LoCoMo itself may not be used commercially. Each fact is said once, in passing, among much that is like it; a question
uses other words than the evidence, and some need two messages.
"""

import random

PLACES = ("Lisbon", "Oslo", "Kraków", "Bologna", "Ghent", "Porto", "Graz", "Uppsala")
NAMES = ("Maja", "Jonas", "Priya", "Elif", "Tomás", "Ingrid", "Kwame", "Noor", "Bram", "Chiara")
FOODS = ("peanuts", "shellfish", "gluten", "strawberries", "kiwi", "sesame")
JOBS = ("nurse", "carpenter", "tax adviser", "bus driver", "pastry chef", "geologist")
SPORTS = ("bouldering", "rowing", "badminton", "fencing", "orienteering", "judo")
PETS = ("a parrot", "two ferrets", "an old greyhound", "a tortoise", "three hens")
BOOKS = ("The Leopard", "Middlemarch", "Solaris", "Beloved", "Austerlitz", "The Master and Margarita")
TOOLS = ("a cello", "the accordion", "an oboe", "the banjo", "a harp")

FACTS = (
    ("We finally signed the lease, so from March on we'll be in {place}.", "Which city did I move to?"),
    ("{name} and I got engaged on the ferry last weekend!", "Who am I going to marry?"),
    (
        "Had to leave the dinner early, somebody put {food} in the sauce and my throat swelled up.",
        "What food am I allergic to?",
    ),
    ("First week as a {job} is over and my back hurts.", "What do I do for a living?"),
    ("Coach says that my {sport} is getting better, the tournament is in autumn.", "Which sport do I train?"),
    ("The shelter called: we can pick up {pet} on Saturday.", "Which animal do we keep at home?"),
    ("I cried at the end of {book}, no other novel has done that to me.", "Which novel moved me most?"),
    ("Grandfather left me {tool} and I take lessons on Tuesdays now.", "What instrument am I learning?"),
    ("My sister {name} starts her doctorate in {place} this term.", "Where does my sister study?"),
    ("The surgeon wants to see the knee again on the {day} of May.", "When is my appointment about the knee?"),
    ("We named the boat {word} after a long argument.", "What is our boat called?"),
    ("The spare key is with the neighbours on floor {day}.", "Who has a second key to our flat?"),
    ("Rent goes up to {number} euros, I am furious.", "How much do we pay for the flat?"),
    ("The car failed its inspection because of the brakes, repair costs {number}.", "What was wrong with the car?"),
    ("I quit sugar in {month} and sleep much better.", "Since when do I eat nothing sweet?"),
    ("Our wedding will be in the botanical garden, {name} knows the director.", "Where do we celebrate the marriage?"),
    ("I promised {name} to water her orchids while she is in hospital.", "Whose plants do I look after?"),
    ("The bank finally approved the loan for the bakery.", "What is my business idea?"),
    ("Mum's surgery went well, she is back home since {month}.", "How is my mother's health?"),
    (
        "I signed up for a course in sign language because of {name}'s son.",
        "Which language do I want to learn, and why?",
    ),
    ("Passport expires in {month}, must not forget to renew.", "Which document do I have to renew?"),
    ("The landlord forbids grills on the balcony.", "May we barbecue at home?"),
    ("I ran out of the marathon at kilometre {day}, cramp in both legs.", "Why did I not finish the race?"),
    ("Dentist found two cavities, next visit in {month}.", "What did the dentist say?"),
)

CHATTER = (
    "Can you help me word an email to {name} about the meeting?",
    "It rained the whole weekend in {place}, we just read.",
    "What goes well with {food}? {name} asked me for a recipe.",
    "{name} told me about a new {job} in the office, seems nice.",
    "I watched a documentary about {sport} yesterday.",
    "{name} has {pet} and talks about nothing else.",
    "Everyone at work is reading {book} at the moment.",
    "The train to {place} was late again, {number} minutes.",
    "{name} plays {tool} in the evenings and I hear it through the wall.",
    "Remind me to call {name} on the {day} of {month}.",
    "Thinking about a trip to {place} in {month}, not sure yet.",
    "My colleague {name} moved to {place} for her new job.",
    "Lunch with {name} was nice, we talked about rent and knees.",
    "I need a gift for {name}, something under {number} euros.",
    "{name}'s car broke down on the way to {place}.",
    "The neighbours asked whether we want to join the garden party in {month}.",
    "Please translate a menu for me, there is {food} in everything.",
    "{name} is furious about the parking fees in {place}.",
)
MONTHS = ("January", "February", "April", "June", "August", "October", "December")
WORDS = ("Marzipan", "Pelican", "Halfpenny", "Zephyr", "Barnacle")


def conversation(chance: random.Random, *, chatter: int = 180) -> tuple[list[str], list[tuple[str, list[int]]]]:
    """What was said, in order, and questions with the numbers of the messages that answer them."""
    lines = [(fact.format(**_filled(chance)), question) for fact, question in FACTS]
    lines += [(chance.choice(CHATTER).format(**_filled(chance)), "") for _ in range(chatter)]
    chance.shuffle(lines)
    said = list(dict.fromkeys(line for line, _ in lines))
    places = {question: said.index(line) for line, question in lines if question}
    questions = [(question, [number]) for question, number in places.items()]
    both = ("Which city did I move to?", "What do I do for a living?")
    questions.append(("In which city did we sign the lease, and what is my work there?", [places[one] for one in both]))
    return said, questions


def _filled(chance: random.Random) -> dict[str, object]:
    return {
        "place": chance.choice(PLACES),
        "name": chance.choice(NAMES),
        "food": chance.choice(FOODS),
        "job": chance.choice(JOBS),
        "sport": chance.choice(SPORTS),
        "pet": chance.choice(PETS),
        "book": chance.choice(BOOKS),
        "tool": chance.choice(TOOLS),
        "month": chance.choice(MONTHS),
        "word": chance.choice(WORDS),
        "day": chance.randint(2, 28),
        "number": chance.randint(20, 1900),
    }
