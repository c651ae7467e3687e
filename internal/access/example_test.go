package access_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"freeway/internal/access"
)

func ExampleGuard() {
	h := access.Guard(access.Config{Tokens: []access.Token{{Name: "t", Role: access.Admin, Hash: access.HashToken("s3cret")}}, Open: []string{"/livez"}}, http.NotFoundHandler())
	for _, url := range []string{"http://127.0.0.1/livez", "http://127.0.0.1/api/stats", "http://rebound.example/livez"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", url, nil))
		fmt.Println(url, w.Code)
	}
	// Output:
	// http://127.0.0.1/livez 404
	// http://127.0.0.1/api/stats 401
	// http://rebound.example/livez 403
}
