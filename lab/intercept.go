package lab

import (
	"crypto/tls"
	"net"
)

// intercept opens TLS between client and target with a certificate of the
// other CA. Afterwards both links carry plain text. A client that does not
// speak TLS is left alone.
func (s *session) intercept(up *link, host string) error {
	if first, err := s.c.br.Peek(1); err != nil || first[0] != recordHandshake {
		return err
	}
	var name string
	client := s.c.secure(func(c net.Conn) *tls.Conn {
		return tls.Server(c, &tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
			GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				name = hello.ServerName
				if name == "" {
					name = host
				}
				return s.otherCA.issue(name)
			},
		})
	})
	if err := s.handshake(client); err != nil {
		return err
	}
	server := up.secure(func(c net.Conn) *tls.Conn {
		return tls.Client(c, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.ca.roots(), ServerName: name, NextProtos: []string{"http/1.1"}})
	})
	return s.handshake(server)
}
