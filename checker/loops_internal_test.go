package checker

import (
	"strings"
	"testing"
)

// TestLoops: only a nonce that is under way is found, wherever it stands.
func TestLoops(t *testing.T) {
	t.Parallel()
	var l loops
	nonce, other := newNonce(), newNonce()
	end, endOther := l.begin(nonce), l.begin(other)
	for request, want := range map[string]bool{
		"http://judge.example/?nonce=" + nonce:                                  true,
		"http://judge.example/?show_env=1&nonce=" + nonce + "&x=y":              true,
		"GET /?nonce=1&nonce=" + nonce + " HTTP/1.1\r\nHost: judge.example\r\n": true,
		"http://judge.example/?nonce=" + strings.ToUpper(nonce):                 false,
		"http://judge.example/?nonce=" + nonce[:31]:                             false,
		"http://judge.example/?nonce=":                                          false,
		"http://judge.example/?nonce=" + newNonce():                             false,
		"http://shop.example/" + nonce:                                          false,
		"":                                                                      false,
	} {
		if got := l.find(request); got != want {
			t.Errorf("find(%q) = %v", request, got)
		}
	}
	if !end() || endOther() {
		t.Error("which came back is not told apart")
	}
	if l.find("?nonce="+nonce) || len(l.asked) != 0 {
		t.Error("a question that is over is remembered")
	}
}
