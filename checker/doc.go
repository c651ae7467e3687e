// Package checker tests proxies, a bounded number at a time, and says what came
// of it.
//
// One job is one address. A check connects once; a refused or silent connect
// settles everything that lists claim to be there. Then, for each protocol, it
// opens a tunnel to a judge, speaks verified TLS through it and asks what the
// judge sees, and asks another one over plain HTTP. Where no list says the
// protocol, or the claimed one is not spoken, what the peer revealed so far
// chooses the next protocol to try.
//
// A proxy passes when an answer came back intact, with the nonce of this very
// request, over plain HTTP or through a verified tunnel. One that shows another
// certificate than the judge's, or changes an answer, is caught tampering.
//
// Before a proxy turns live, two operators of judges must have seen it, or one
// judge whose answers are signed; where there is only one operator, its word
// counts, and a note says so. At its first pass, and about every tenth, pages with
// known content are fetched through it by plain HTTP from an own judge: what
// injects, changes or cuts them, or adds cookies, fails; what only packs them
// otherwise is noted.
//
// Judges are reached directly, too, again and again: that is the control. A
// failure for which judge or network could be to blame is reported only after a
// direct request that began later has succeeded; otherwise the job is given
// back unjudged. So an outage of a judge, of the own network or of the own clock
// never demotes a proxy. Nor does a minute in which nearly all proxies fail that
// were live: it must be followed by another one before it counts. Nothing here ever falls back to a direct connection.
package checker
