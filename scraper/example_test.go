package scraper_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"freeway/scraper"
)

// A list file is read once; nothing is checked, and nothing kept.
func ExampleScraper_Fetch() {
	dir, err := os.MkdirTemp("", "lists")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "list.txt")
	if err := os.WriteFile(path, []byte("1.1.1.1:3128\nsocks5://8.8.8.8:1080\n127.0.0.1:6379\n"), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	s, err := scraper.Open(scraper.Config{}, scraper.Sources{}, scraper.Env{})
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := s.Fetch(context.Background(), scraper.Source{File: path, Protocols: []string{"http"}})
	for _, c := range res.Found {
		fmt.Println(c.Endpoint)
	}
	fmt.Println(len(res.Rejections), "refused,", err)
	// Output:
	// http://1.1.1.1:3128
	// socks5://8.8.8.8:1080
	// 1 refused, <nil>
}
