package gateway

import "net"

// Serve makes l the gateway's only listener, in place of Listen.
func (g *Gateway) Serve(l net.Listener) { g.listeners = []*listener{{l, -1, nil}} }
