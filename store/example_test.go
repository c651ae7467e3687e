package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"freeway/proxy"
	"freeway/store"
)

func Example() {
	dir, err := os.MkdirTemp("", "freeway-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	s, err := store.Open(filepath.Join(dir, "freeway.db"), store.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	ep, _ := proxy.Parse("socks5://1.2.3.4:1080")
	if err := s.Save(context.Background(), proxy.Batch{Put: []proxy.Record{{Endpoint: ep, Pool: "public"}}}); err != nil {
		fmt.Println(err)
		return
	}
	for rec, err := range s.Load(context.Background()) {
		fmt.Println(rec.Endpoint, rec.Pool, err)
	}
	// Output: socks5://1.2.3.4:1080 public <nil>
}
