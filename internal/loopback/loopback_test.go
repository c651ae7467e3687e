package loopback_test

import (
	"net"
	"testing"
	"time"

	"freeway/internal/loopback"
)

func TestControl(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		address string
		ok      bool
	}{
		{"127.0.0.1:80", true},
		{"127.9.8.7:1", true},
		{"[::1]:80", true},
		{"[::ffff:127.0.0.1]:80", true},
		{"192.0.2.1:80", false},
		{"0.0.0.0:80", false},
		{"[2001:db8::1]:80", false},
		{"localhost:80", false},
		{"", false},
	} {
		if err := loopback.Control("tcp", tt.address, nil); (err == nil) != tt.ok {
			t.Errorf("Control(%q) = %v, want ok %v", tt.address, err, tt.ok)
		}
	}
}

func TestControlStopsTheDial(t *testing.T) {
	t.Parallel()
	d := net.Dialer{Control: loopback.Control, Timeout: 10 * time.Second}
	if c, err := d.DialContext(t.Context(), "tcp", "192.0.2.1:9"); err == nil {
		c.Close()
		t.Error("a documentation address was dialled")
	}
}
