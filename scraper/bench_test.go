package scraper_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"testing"

	"freeway/scraper"
)

// publicAddr makes an address-like string outside all special ranges.
func publicAddr(r *rand.Rand) string {
	return fmt.Sprintf("%d.%d.%d.%d", 11+r.IntN(80), r.IntN(256), r.IntN(256), r.IntN(256))
}

// textList makes n lines of ip:port.
func textList(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for range n {
		fmt.Fprintf(&b, "%s:%d\n", publicAddr(r), 1+r.IntN(65535))
	}
	return b.Bytes()
}

var plainPattern = regexp.MustCompile(`(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}):(\d{1,5})`)

func parseAll(b *testing.B, data []byte, o scraper.ParseOptions) (n int) {
	b.Helper()
	for _, err := range scraper.Parse(bytes.NewReader(data), o) {
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	return n
}

func BenchmarkText(b *testing.B) {
	data := textList(1_000_000)
	b.Run("parse", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			parseAll(b, data, scraper.ParseOptions{})
		}
	})
	b.Run("regexp", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			for rest := data; ; n++ {
				m := plainPattern.FindSubmatchIndex(rest)
				if m == nil {
					break
				}
				rest = rest[m[1]:]
			}
		}
	})
}
