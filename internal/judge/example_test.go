package judge_test

import (
	"fmt"
	"net/http/httptest"

	"freeway/internal/judge"
)

// A judge answers with what it saw of a request.
func Example() {
	r := httptest.NewRequest("GET", "http://judge.example/?nonce=8f3a", nil)
	r.Header.Set("Via", "1.1 some-proxy")
	w := httptest.NewRecorder()
	judge.Handler(judge.Options{Key: []byte("a shared secret of 16 bytes or more")}).ServeHTTP(w, r)

	seen, kind, err := judge.Read(w.Body.Bytes())
	fmt.Println(kind, err, seen.Remote, seen.Nonce, seen.Get("Via"))
	fmt.Println(judge.Verify(w.Body.Bytes(), []byte("a shared secret of 16 bytes or more")))
	// Output:
	// own <nil> 192.0.2.1 8f3a 1.1 some-proxy
	// <nil>
}
