"""Rules for abuse in English and German: threats, calls to suicide, hatred of groups, insults, obscene demands.

Swearing is not abuse, and a bug may be damned: an insult is one when it goes at somebody. What threatens a person or
a group blocks; slurs and insults are reported. Patterns read folded text (`rules.fold`): lower case, no accents.
"""

from typing import Final

from aibox.guardrail.rules import BLOCKING_RISK, when

_WILL = r"(?:'ll|'m gonna|'m going to| will| am going to| gonna| am gonna)"
_KILL = r"(?:kill|murder|rape|torture|stab|behead|strangle|slaughter|shoot|skin|hunt down|beat up)"
_BREAK = r"(?:kill|murder|rape|torture|slaughter|burn|break|snap|smash|crush)"
_THEM = r"(?:you|u|him|her|them|that (?:bitch|bastard|asshole|whore))"
_THEIRS = (
    r"(?:your|ur|his|her|their) (?:\w+ )?(?:family|kids?|children|wife|husband|mother|neck|legs?|arms?|skull|face)"
)

_PEOPLE = (
    r"(?:jews?|muslims?|arabs?|blacks?|whites?|asians?|immigrants?|migrants?|refugees?|foreigners?|gays?|homosexuals?|"
    r"lesbians?|trans(?:gender)?(?: people)?|women|men|christians?|mexicans?|indians?|chinese|gypsies|"
    r"disabled(?: people)?)"
)
_VERMIN = (
    r"(?:vermin|sub-?humans?|cockroaches|parasites|rats|filth|scum|animals|apes|monkeys|a (?:disease|plague|cancer)|"
    r"(?:an )?inferior(?: race)?|not (?:really )?human)"
)
_LEUTE = (
    r"(?:jud(?:en|e)|muslim(?:e|en|s)?|araber|schwarzen?|auslander|migranten|fluchtlinge|asylanten|schwulen?|lesben|"
    r"zigeuner|turken|polen|russen|frauen|manner|christen|behinderten?|neger)"
)
_UNGEZIEFER = (
    r"(?:ungeziefer|untermenschen|abschaum|parasiten|ratten|dreck|tiere|affen|eine (?:plage|seuche|krankheit)|"
    r"vergast|erschossen|aufgehangt|ausgerottet|vernichtet)"
)

_FUCK = r"(?:f+[u*@#.]+[c*@#.]*k+(?:ing|in|en|ed)?)"
_MODIFIER = (
    rf"(?:an?|the|such|so|just|really|nothing but|absolute|total|complete|utter|{_FUCK}|bloody|damn(?:ed)?|goddamn|"
    r"stupid|dumb|worthless|useless|pathetic|ugly|filthy|dirty|fat|old|little|lying|cheap|miserable|disgusting|sick|"
    r"big|real|retarded|brainless|ignorant|lazy)"
)
_NAMES = (
    r"(?:idiots?|morons?|imbeciles?|retards?|cretins?|ass-?holes?|arse-?holes?|bastards?|b[i1!*]tch(?:es)?|c[u*]nts?|"
    r"whores?|sluts?|scum(?:bags?)?|dumb-?ass(?:es)?|dipshits?|shit-?heads?|dick-?heads?|fuck-?wits?|fuckers?|"
    r"mother-?f[u*]+ckers?|pricks?|wankers?|twats?|piece of (?:shit|crap|trash|garbage|filth)|son of a bitch|"
    r"waste of (?:space|oxygen|skin|air))"
)
_SOLCHE = (
    r"(?:doch|echt|nur|so|alle|nichts als|wirklich|ein(?:e|en|em)?|der|die|das|"
    r"(?:verdammt|verfickt|dumm|blod|elend|fett|hasslich|mies|klein|dreckig|alt|wertlos|widerlich|faul|beschissen|"
    r"krank)e[rsn]?)"
)
_NAMEN = (
    r"(?:(?:voll)?(?:idiot(?:en|in)?|depp(?:en)?|trottel)|arschl(?:och|ocher)|wichser|hurens[oh]+ne?|fotzen?|"
    r"schlampen?|missgeburt(?:en)?|abschaum|dreckschweine?|drecksau|miststucke?|spast(?:i|is|en)?|mongos?|nutten?|"
    r"bastarde?|dreckskerle?|flachwichser|stuck (?:scheisse|dreck)|penner)"
)

ABUSE: Final = (
    when(
        "threat",
        95,
        rf"\b(?:i|we){_WILL}(?: \w+){{0,2}}? (?:{_KILL} {_THEM}|{_BREAK} {_THEIRS})\b",
        r"\byou(?:'re| are) (?:dead meat|a dead (?:man|woman)|going to die|gonna die) (?:when|if|once|for|you)\b",
        r"\b(?:ich|wir) (?:werde?n?|will|wollen) (?:dich|euch|ihn|sie)\b[^.!?\n]{0,30}"
        r"\b(?:umbringen|toten|abstechen|erschiessen|vergewaltigen|totschlagen|erwurgen|kaltmachen)\b",
        r"\b(?:ich|wir) (?:bring|stech|schlag|mach|knall)(?:e|en)? (?:dich|euch|ihn|sie)"
        r"(?: \w+){0,2}? (?:um|ab|tot|kalt)\b",
    ),
    when(
        "urges_suicide",
        95,
        r"\b(?:go|you should|please|just|why don't you|do (?:us all|everyone|the world) a favou?r and)"
        r" (?:just |go |and )*(?:kill|hang|shoot|drown|off) yourself\b",
        r"^ ?(?:kill|hang) yourself[ .!]*$|\bkys\b",
        r"\bend your (?:own )?life already\b",
        r"\b(?:go|please) (?:and )?die in a (?:fire|hole|ditch)\b",
        r"\b(?:bring|hang) dich (?:doch |endlich |bitte |einfach )*(?:um|auf)\b",
        r"\b(?:erhang|erschiess) dich(?: doch| endlich| bitte| einfach)*[ .!]*$",
        r"\bgeh (?:doch |bitte )*(?:sterben|verrecken)\b",
    ),
    when(
        "dehumanising",
        95,
        rf"\b(?:all |those |these |the )*{_PEOPLE} are (?:all |just |nothing but )*{_VERMIN}\b",
        r"\b(?:all|those|these) \w+ are (?:vermin|subhuman|cockroaches|parasites)\b",
        r"\b(?:all|those|these) \w+ (?:should|must|deserve to) (?:all )?"
        r"(?:die(?= ?[.!?,;\n]|$)|be (?:killed|exterminated|gassed|shot|hanged|wiped out)\b)",
        rf"\b(?:gas|exterminate|lynch|kill|hang|shoot) (?:all |every |those |these |the )+{_PEOPLE}\b",
        rf"\b(?:alle |diese |die )*{_LEUTE} (?:sind|gehoren)(?: \w+){{0,2}}? {_UNGEZIEFER}\b",
    ),
    when(
        "slur",
        60,
        r"\b(?:n[i1!*]gg(?:er|a)s?|k[i1]kes?|f[a@]gg?[o0]ts?|trann(?:y|ies)|wetbacks?|ragheads?|towel-?heads?|gooks?|"
        r"sand-?n[i1]gg\w+|paki bastards?|kanacken?|kanaken?|schwuchteln?|judensau|kummelturken?)\b",
    ),
    when(
        "insult",
        60,
        rf"\b(?:you|u|ya|y'?all|ur|they|he|she)(?:'re|'s| are| is| r)?(?: {_MODIFIER}){{0,4}} {_NAMES}\b",
        rf"\b{_FUCK} (?:you|u|off|yourself|ur)\b(?! (?:up|with|over|around))",
        rf"\bshut (?:the {_FUCK}|your (?:stupid |dirty |filthy |{_FUCK} )*(?:mouth|face))\b",
        r"\b(?:suck|lick) my (?:dick|cock|balls|ass|arse)\b|\bkiss my (?:ass|arse)\b",
        r"\bgo to hell\b|\beat shit\b|\bdrop dead\b|\bscrew you\b",
        rf"\b(?:du|ihr|sie|er)(?: (?:bist|seid|sind|ist))?(?: {_SOLCHE}){{0,4}} {_NAMEN}\b",
        r"\b(?:fick|fickt|verpiss|verpisst) (?:dich|euch)\b|\bleck mich am arsch\b|\bgeh zum teufel\b",
        r"\bhalt(?:s|'s|et)? (?:(?:doch|einfach|die|dein|deine|das) )*(?:fresse|maul|schnauze)\b",
    ),
    when(
        "sexual_harassment",
        60,
        r"\b(?:send|show|give) me (?:some |more |your |ur )*"
        r"(?:nudes|tits|boobs|pussy|dick pics?|naked (?:pics?|photos?))\b",
        rf"\bi (?:want to|wanna|would like to|'d like to) (?:{_FUCK}|bang|screw|rape) (?:you|u|her|him)\b",
        r"\b(?:schick|zeig) mir (?:deine |mal )*(?:nacktbilder|titten|bruste|nacktfotos)\b",
    ),
)

BLOCKING: Final = tuple(rule for rule in ABUSE if rule.risk >= BLOCKING_RISK)
"""What an answer is cut off for while it streams."""
