// Package lab is a proxy internet on loopback: thousands of upstream proxies in
// one process, good, slow, dead, flapping, lying and tampering ones, each on
// its own address 127.x.y.z and leaving from it; lists of them, targets and
// judges to reach through them, and the ground truth about every one.
//
// It is for testing whatever uses proxies, and safe to run anywhere: it listens
// on loopback only, resolves no name but those of its own table, and dials
// nothing but loopback addresses.
//
// A seed makes it reproducible: the same seed and configuration give the same
// endpoints (ports that are taken aside), behaviours, latencies and schedules.
// Certificates are new in every run.
//
// # Targets
//
// The same pages are served over http and https, to everybody: through
// upstreams by the names www.lab.test, shop.lab.test, news.lab.test, lab.test
// and www.other.test (http on ports 80 and 8080, https on 443 and 8443), and to
// all by the addresses of Lab.HTTPTarget and Lab.HTTPSTarget.
//
//	/bytes/N?seed=S    N bytes that Bytes(N, S) returns as well; &chunked=1 without a length
//	/html              a page that is always the same
//	/ip                the address that the target sees
//	/headers           the header as it came, in order: [["Host", "..."], ...]
//	/echo?id=X         the body of the request; ids are counted, see Hits
//	/status/N          that status; ?retry_after=S adds the header
//	/drip?n=N&delay=D  N bytes, each after a delay
//	/slow?delay=D      a few bytes after a delay
//	/hits              Hits in JSON
//
// The header Lab-Sha256 of bytes, page and echo has the hash of the body.
//
// # Judges
//
// Judges tell what they see, under judge.lab.test and judge.other.test, or the
// addresses of Lab.JudgeHTTP and Lab.JudgeHTTPS. What visits them directly is
// not counted as a direct hit.
//
// # Addresses
//
// On Linux one socket per port, tied to the loopback device, serves all of
// 127.0.0.0/8, so an upstream costs a map entry until somebody connects. Where
// that is not possible every upstream has a socket of its own, and where only
// 127.0.0.1 exists (macOS, Windows) also only a port of its own; there the
// lab's own targets and judges are told which exit a connection stands for.
//
// A Refused upstream is a port that is bound, so that nobody else takes it, but
// not listened at. A SilentConnect upstream is a listener whose backlog is full.
// An upstream with a schedule shares its socket with others; while it is down it
// accepts and then is silent, resets, or talks garbage.
package lab
