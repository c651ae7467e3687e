package config_test

import (
	"slices"
	"testing"
	"time"

	"freeway/config"
	"freeway/gateway"
)

func TestChangedAndKeep(t *testing.T) {
	t.Parallel()
	old, next := config.Default(), config.Default()
	if got := config.Changed(old, next); len(got) != 0 {
		t.Errorf("Changed of the same = %v", got)
	}
	next.Store.Path, next.Gateway.Timeouts.Connect = "other.db", time.Minute
	next.Gateway.Users = []gateway.User{{Name: "bob"}}
	want := []string{"store.path", "gateway.users", "gateway.timeouts.connect"}
	if got := config.Changed(old, next); !slices.Equal(got, want) {
		t.Errorf("Changed = %v, want %v", got, want)
	}
	for _, path := range append(want, "gateway.nothing", "") {
		config.Keep(&next, old, path)
	}
	if got := config.Changed(old, next); len(got) != 0 {
		t.Errorf("Changed after Keep = %v", got)
	}
}
