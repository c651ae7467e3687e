package config_test

import (
	"fmt"

	"freeway/config"
)

// Every mistake is reported at once, with its place.
func ExampleLoad() {
	_, err := config.Load(config.LoadOptions{Flags: []config.Flag{
		{Name: "--log.level", Path: "log.level", Value: "loud"},
		{Name: "--scraper.timeout", Path: "scraper.timeout", Value: "soon"},
	}})
	fmt.Println(err)
	// Output:
	// --scraper.timeout: scraper.timeout: bad duration "soon"; write for example 300ms, 5s, 10m or 24h
	// --log.level: log.level: unknown level "loud"; use one of debug, info, warn, error
}
