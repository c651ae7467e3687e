package lab

import (
	"net/netip"
	"time"

	"freeway/proxy"
)

// Truth is what is really so about one upstream at one moment.
type Truth struct {
	Endpoint  proxy.Endpoint  `json:"endpoint"`
	Protocol  proxy.Protocol  `json:"protocol"`
	Behaviour Behaviour       `json:"behaviour"`
	Up        bool            `json:"up"`         // it works now: a check would pass and rightly so
	UpSince   time.Time       `json:"up_since"`   // real time; zero when not up
	Exit      netip.Addr      `json:"exit"`       // the address that targets see
	Forward   bool            `json:"forward"`    // plain HTTP in absolute form comes back right (never for SOCKS)
	Tunnel    bool            `json:"tunnel"`     // tunnels to port 443 work
	TunnelAny bool            `json:"tunnel_any"` // and to other ports
	RemoteDNS bool            `json:"remote_dns"` // it resolves names
	Anonymity proxy.Anonymity `json:"anonymity"`  // of plain HTTP
	Tampers   string          `json:"tampers"`    // "content", "tls", "exit"; "" for nothing
	Latency   time.Duration   `json:"latency"`    // median, in nanoseconds
}
