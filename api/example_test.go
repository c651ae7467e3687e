package api_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"freeway/api"
	"freeway/pool"
)

func Example() {
	p, err := pool.Open(context.Background(), pool.Config{}, pool.Env{})
	if err != nil {
		fmt.Println(err)
		return
	}
	a, err := api.Open(api.Config{}, nil, api.Env{Pool: p})
	if err != nil {
		fmt.Println(err)
		return
	}
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1/livez", nil))
	fmt.Print(w.Code, " ", w.Body)
	// Output: 200 ok
}
