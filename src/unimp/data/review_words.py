"""English words by which reviews are read: those that name nothing, and those that only judge."""

from __future__ import annotations

GRAMMAR_AND_REVIEWING = """
a about above across actual actually additional after again against ago ain't all almost along already
also although always am an and another any anyone anything anyway are aren't around as ask at available
away back basically be became because become been before began being below between both bought but buy
buyer buying by call came can can't cannot careful certain certainly change check choice choose chose
click come comes coming cost costs could couldn't customer day days decide decided definitely describe
described did didn't difference different do does doesn't doing don't done down during each either else
enough especially etc even ever every everybody everyone everything exactly except expect expected
experience extra fact far feel feels felt few figure final finally find finding fine first five for found
four friend friends from gave get gets getting give given gives giving glad go goes going gone got gotten
guess guy guys had hadn't half happen has hasn't have haven't having he he's hear heard help helps her
here here's hers herself highly him himself his hold holding hope hour hours how however i i'd i'll i'm
i've idea if in include included includes instance instead into is isn't it it'd it'll it's item items its
itself job just keep keeps kept kind knew know known knows last later least leave left less let let's lets
like likely literally live long longer look looked looking looks lot lots made make makes making many
matter may maybe me mean means mention mentioned might mine minute minutes money month months more most
mostly much must my myself name near nearly need needed needs neither never new next no nobody none nor
not note nothing now of off often oh ok okay old on once one ones only onto opinion option or order
ordered original other others otherwise our ours ourselves out over own past pay people per perhaps person
piece place plan point post previous previously price probably problem problems product products purchase
purchased put puts question quick quickly quite rather read reading really reason receive received
recently recommend recommended replace replaced replacement research return returned review reviewer
reviewers reviews run said same saw say saying says second see seeing seem seemed seems seen seller send
sent serious set several shall she she's ship shipped shipping short should shouldn't similar simply since
single so some somebody someone something sometimes somewhat soon sort start started stay stays still
stuff style such suggest suppose supposed sure surprise take taken takes taking tell than thank thanks
that that's the their theirs them themselves then there there's these they they'd they'll they're they've
thing things think this those though thought three through thru thus time times to today together told too
took total totally toward tried tries truly try trying turned two type types under understand unit unless
until up update upon us use used user uses using usually version very via wait want wanted wants was
wasn't way ways we we'd we'll we're we've wear week weeks well went were weren't what what's whatever when
where whether which while who who's whole whom whose why will wish with within without won't wonder word
words work worked working works worry would wouldn't wow write year years yes yet you you'd you'll you're
you've your yours yourself
"""
FUNCTION_WORDS = frozenset(GRAMMAR_AND_REVIEWING.split())
"""Grammar, and the words every review is made of whatever it is about."""

PRAISE_AND_BLAME = """
accurate adequate affordable amazing annoying appreciate attractive average awesome awful bad beautiful
beautifully best better bright cheap cheaper cheaply clean clear comfortable compact complain complaint
complaints convenient cool crap crisp cute decent delighted dependable difficult disappointed
disappointing disappointment durable ease easier easily easy effective effortless enjoy enjoyed excellent
expensive fabulous fair fairly fantastic fast favorite favourite flawless flawlessly flimsy fun good
gorgeous great handy happier happy hard hate helpful horrible impressed impressive incredible inexpensive
intuitive junk lame like liked likes love loved lovely loves mediocre neat nice nicely outstanding perfect
perfectly pleasant please pleased poor poorly pretty pricey quality reasonable reasonably reliable rugged
satisfied simple sleek smooth smoothly solid star stars strong sturdy stylish superb superior sweet
terrible terrific tough unfortunately useful useless value versatile weak weird wonderful worse worst
worth worthless wrong
"""
OPINION_WORDS = frozenset(PRAISE_AND_BLAME.split())
"""Praise and blame, whatever it is about."""
