package checker

import "freeway/internal/judge"

// nonceQuery is how a nonce stands in a query.
const nonceQuery = judge.NonceKey + "="

// PublicJudges returns the judges that are used when the configuration names
// none: pages in httpbin's format of four operators, each by http and https.
// show_env=1 makes the original httpbin show Via and X-Forwarded-*, which it
// hides otherwise, so that every proxy would look elite; the others ignore it.
// Public judges get at most publicRate requests a second per operator.
func PublicJudges() []string {
	return []string{
		"http://httpbin.org/get?show_env=1",
		"https://httpbin.org/get?show_env=1",
		"http://httpbingo.org/get?show_env=1",
		"https://httpbingo.org/get?show_env=1",
		"http://nghttp2.org/httpbin/get?show_env=1",
		"https://nghttp2.org/httpbin/get?show_env=1",
		"http://httpbun.com/get?show_env=1",
		"https://httpbun.com/get?show_env=1",
	}
}

// publicRate is how many requests a second an operator of public judges gets.
const publicRate = 2
