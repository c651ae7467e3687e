package gateway

import (
	"net"
	"time"
)

// Serve makes l the gateway's only listener, in place of Listen.
func (g *Gateway) Serve(l net.Listener) { g.listeners = []*listener{{l, -1, nil}} }

// SetCredit sets after how long a tunnel counts as a success.
func (g *Gateway) SetCredit(d time.Duration) { g.creditAfter = d }
