"""The English words that the rules of near-identical questions go by. Lists of words, no decisions."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ENGLISH = _words("""
    what how why which who when where whose does do did is are were has have can could should would will
    the of my your you it this that with from for and or not if i me we our they their there explain
    describe define please tell show reply answer about because between these those some make any more
""")
"""One of them makes a text plainly English enough for English rules."""

ABOUT_WORDING = _words("""
    translate translates translated translating translation rewrite rewritten reword rephrase paraphrase
    proofread edit correct corrected correction corrections fix grammar grammatical grammatically spell
    spelled spelling spelt capitalize capitalise capitalized capitalised capitalization capitalisation
    lowercase uppercase case typo typos punctuation punctuate comma commas apostrophe apostrophes article
    articles contraction contractions word words letter letters character characters sentence sentences
    phrase phrases syllable syllables string strings text token tokens verb verbs noun nouns pronoun
    pronouns adjective preposition tense plural singular say says saying said pronounce pronounced repeat
    echo verbatim quote quoted spoken write writes written count tone polite politely politeness formal
    formally informal casual sentiment classify label title headline subject caption slogan anagram rhyme
    rhymes palindrome encode decode hash regex expression abbreviation abbreviate acronym stands stand
""")
"""They make the wording itself the matter: there a comma, an article or a capital is what is asked about."""

CAPITAL_MATTERS = _words("""
    true false null none job polish turkey china japan chile jordan chad georgia guinea mali cuba niger
    march may august april june sunday apple windows python java ruby go rust swift scala perl julia dart
    kotlin elixir crystal basic ada pascal lisp scheme haskell oracle word excel access outlook teams
    office publisher visio edge explorer bing azure chrome safari firefox opera brave slack zoom discord
    signal telegram messenger amazon alexa shell target gap visa discover chase citizens delta united
    southwest alphabet meta facebook twitter threads notion linear asana monday jira basecamp salesforce
    square stripe plaid brex ramp carta box dropbox drive docs sheets slides maps earth photos translate
    home nest pixel galaxy note surface echo fire kindle prime video twitch steam origin epic unity unreal
    blender maya cinema illustrator flash premiere audition lightroom dreamweaver acrobat reader spark
    storm hive pig flume kafka beam flink cassandra spring express django flask rails laravel symfony
    angular react vue ember backbone meteor gatsby next nuxt svelte node deno bun docker swarm helm flux
    argo vault consul nomad terraform packer vagrant chef puppet ansible salt jenkins travis circle bamboo
    gradle maven ant make bazel buck pants git mercurial subversion perforce eclipse atom sublime brackets
    emacs vim nano mars venus mercury saturn jupiter neptune pluto sun moon titan europa io phoenix cancer
    leo virgo libra aries gemini taurus orion god gods bible lord king queen pope president internet web
    west east north south will mark bill rob frank grant jack rose lily daisy violet ivy olive hope faith
    grace joy dawn eve pat sue drew art gene ray earl dean miles hunter mason penny baker brown black
    white green gray grey young wood woods stone hill rivers brook forest bush rice berry banks bell
    carpenter cook cooper fisher gardner miller potter smith taylor turner walker weaver ward wells park
    parker page price power powers marsh moody short long little strong sharp small wise noble rich best
    worth sterling carol robin jay martin finch drake swan wolf fox lamb buffalo orange mobile reading
    bath sandwich cork nice cologne lima lobster moose bologna brie cheddar champagne bordeaux burgundy
    madeira port sherry hamburg frankfurt manila damask jersey guernsey cashmere ottoman limerick who us
    it aids sars pin ram rom atm sat act gre gmat lsat bar cat dog mice mint focus fiesta escape mustang
    beetle golf polo passport compass cherokee wrangler ranger altima leaf juke rogue accord civic pilot
    fit insight element crown camry tundra tacoma corolla supra subway wendy domino arbys dominos chili
    popeyes sonic burger cream rush kiss eagles doors police cure band train journey boston chicago kansas
    america europe asia heart genesis yes free bread poison prince madonna pink seal sting bono cher usher
    future common nas eminem catholic orthodox democrat republican liberal conservative labour independent
    congress senate house parliament cabinet constitution revolution renaissance reformation depression
    crusade holocaust patriots giants jets bills dolphins browns steelers ravens bengals texans colts
    titans chiefs raiders chargers broncos cowboys lions bears packers vikings saints falcons panthers
    buccaneers rams cardinals seahawks yankees mets sox rays royals twins tigers indians guardians angels
    athletics astros mariners rangers braves marlins nationals phillies cubs reds brewers pirates padres
    rockies dodgers nets heat magic hawks hornets bulls pistons pacers bucks suns kings lakers clippers
    warriors spurs mavericks rockets thunder jazz nuggets wolves blazers pelicans grizzlies celtics sixers
    knicks raptors wizards cavaliers
""")
"""Words that mean something else with a capital: names, brands and programs that are common words, too."""

PLEASED = _words("""
    everyone everybody anyone anybody someone somebody people him her them me us you it a an the my your
    his its our their all both each every god customers others yourself himself herself myself
""")
"""After one of these "please" may be a verb."""

GREETINGS = frozenset({"hi,", "hi!", "hello,", "hello!", "hey,", "hey!"})
PLEASE = frozenset({"please", "kindly"})
ASKING_FAVOURS = frozenset({"can", "could", "would", "will"})

REQUEST_VERBS = _words("""
    explain describe define list outline compare clarify summarize summarise elaborate
""")
"""After "can you" they ask for an answer, not whether it could be given."""

REQUEST_PAIRS = frozenset({("tell", "me"), ("give", "me"), ("show", "me"), ("help", "me"), ("explain", "to")})

ASKING = frozenset({"what", "which", "who", "whose", "why", "how", "where", "when"})
SUBJECTS = frozenset({"i", "you", "we", "they", "he", "she", "it", "there", "this", "that", "these", "those"})
CLEAR_AUXILIARIES = _words(
    "is are was were does did could should would has had am isn't aren't doesn't didn't"
)
"""They open a question, whatever follows."""
DOUBTFUL_AUXILIARIES = _words("do have can will may might must shall don't can't won't")
"""They open a question where a pronoun follows, else perhaps a command or a name."""
AUXILIARIES = CLEAR_AUXILIARIES | DOUBTFUL_AUXILIARIES
OPENING = AUXILIARIES | ASKING | SUBJECTS
"""Where they open a text, their capital only says that it opens."""

BEFORE_I = AUXILIARIES | ASKING | frozenset({"if", "that", "and", "or", "but", "because", "as", "than"})
AFTER_I = _words("am have had do did can could should would will may must need want get use make know feel")
"""Beside one of them I is the pronoun, not a letter or a numeral."""

PARTICIPLES = _words(
    "been got gone come become made kept lost won left put set cut built sent spent paid told said"
)
"""Where one follows, 's may be short for "has"; others end in -ed, -en, -wn or -ne."""

CONTRACTIONS = {
    "don't": "do not", "doesn't": "does not", "didn't": "did not", "isn't": "is not", "aren't": "are not",
    "wasn't": "was not", "weren't": "were not", "hasn't": "has not", "haven't": "have not",
    "hadn't": "had not",
    "shouldn't": "should not", "wouldn't": "would not", "couldn't": "could not", "mustn't": "must not",
    "needn't": "need not", "can't": "cannot", "won't": "will not", "shan't": "shall not",
    "i'm": "i am", "you're": "you are", "we're": "we are", "they're": "they are",
    "i've": "i have", "you've": "you have", "we've": "we have", "they've": "they have",
    "i'll": "i will", "you'll": "you will", "we'll": "we will", "they'll": "they will",
    "he'll": "he will", "she'll": "she will", "it'll": "it will",
    "what's": "what is", "where's": "where is", "who's": "who is", "how's": "how is", "when's": "when is",
    "why's": "why is", "that's": "that is", "there's": "there is", "it's": "it is",
}  # fmt: skip
"""What is always, or in a question's first words nearly always, short for one thing; 'd never is."""

UNIQUE_BEFORE_OF = _words("""
    capital population meaning definition history name cost size area length height weight age value
    purpose role function importance effect effects impact causes cause benefits advantages disadvantages
    symptoms types difference differences similarities temperature colour color climate flag president
    founder author inventor ceo structure chemical boiling melting density speed location origin future
    use uses quality nature chances probability process scope salary
""")
"""Nouns that are as definite without "the" where "of" or "between" follows."""

COUNTED_BEFORE_OF = _words("list summary description explanation overview definition table")
"""Nouns that mean the same with or without "a" where "of" follows."""

SUPERLATIVES = _words("""
    best worst biggest largest smallest tallest longest shortest highest lowest fastest slowest cheapest
    easiest hardest oldest youngest newest latest richest poorest strongest safest quickest simplest
""")
"""They are definite without "the"."""
