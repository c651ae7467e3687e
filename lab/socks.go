package lab

import (
	"errors"

	"freeway/internal/socks"
	"freeway/proxy"
)

// serveSOCKS serves one SOCKS request. The version must be the node's.
func (s *session) serveSOCKS() {
	first, err := s.c.br.Peek(1)
	if err != nil {
		return
	}
	switch {
	case s.n.Protocol == proxy.SOCKS5 && first[0] == 5:
		s.serve5()
	case s.n.Protocol == proxy.SOCKS4 && first[0] == 4:
		s.serve4()
	}
}

// serve5 is a SOCKS5 server: method, login, request, reply, tunnel.
func (s *session) serve5() {
	methods, err := socks.ReadGreeting5(s.c)
	if err != nil || !s.login5(methods) {
		return
	}
	req, err := socks.ReadRequest5(s.c)
	if err != nil {
		return
	}
	up, secure, code := s.socksTarget(req)
	if code != socks.Succeeded {
		socks.WriteReply5(s.c, code, socks.Addr{})
		return
	}
	if up != nil {
		defer s.scope.drop(up.tcp)
	}
	if socks.WriteReply5(s.c, socks.Succeeded, socks.Addr{IP: s.n.addr.Addr(), Port: s.n.addr.Port()}) == nil {
		s.socksTunnel(up, req, secure)
	}
}

// login5 agrees on a method; it reports whether the client may go on.
func (s *session) login5(methods []byte) bool {
	want := socks.NoAuth
	if s.n.User != "" || s.as == Locked {
		want = socks.UserPass
	}
	for _, m := range methods {
		if m != want {
			continue
		}
		if socks.WriteMethod5(s.c, m) != nil {
			return false
		}
		if m == socks.NoAuth {
			return true
		}
		user, password, err := socks.ReadLogin5(s.c)
		ok := err == nil && s.as != Locked && user == s.n.User && password == s.n.Password
		return socks.WriteLogin5(s.c, ok) == nil && ok
	}
	socks.WriteMethod5(s.c, socks.NoAcceptable)
	return false
}

// serve4 is a SOCKS4 and 4a server.
func (s *session) serve4() {
	req, err := socks.ReadRequest4(s.c)
	if err != nil {
		return
	}
	if s.as == Locked || req.User != s.n.User && s.n.User != "" {
		socks.WriteReply4(s.c, socks.BadIdent)
		return
	}
	up, secure, code := s.socksTarget(req)
	if code != socks.Succeeded {
		socks.WriteReply4(s.c, socks.Rejected)
		return
	}
	if up != nil {
		defer s.scope.drop(up.tcp)
	}
	if socks.WriteReply4(s.c, socks.Granted) == nil {
		s.socksTunnel(up, req, secure)
	}
}

// socksTarget decides about a request and reaches its target; up is nil when the tunnel leads nowhere.
func (s *session) socksTarget(req socks.Request) (up *link, secure bool, code socks.Reply) {
	if req.Command != socks.CmdConnect {
		return nil, false, socks.CommandNotSupported
	}
	if !s.think() {
		return nil, false, socks.GeneralFailure
	}
	switch {
	case s.as == ConnectNotAllowed:
		return nil, false, socks.CommandNotSupported
	case s.as == Only443 && req.Addr.Port != 443 && req.Addr.Port != 80:
		return nil, false, socks.NotAllowed
	case s.as == HTMLAfter200:
		return nil, false, socks.Succeeded
	}
	up, secure, err := s.reach(socksHost(req.Addr), req.Addr.Port)
	if err != nil {
		s.log.Debug("lab: socks", "upstream", s.n.ep.String(), "err", err)
		return nil, false, replyTo(err)
	}
	if (s.as == ConnectForbidden || s.isEdge()) && secure {
		s.scope.drop(up.tcp)
		return nil, false, socks.NotAllowed
	}
	return up, secure, socks.Succeeded
}

// replyTo maps a failure to reach a target.
func replyTo(err error) socks.Reply {
	if errors.Is(err, errRefused) {
		return socks.Refused
	}
	return socks.HostUnreachable
}

// socksHost returns the target's host as text, a name or an address.
func socksHost(a socks.Addr) string {
	if a.IP.IsValid() {
		return a.IP.String()
	}
	return a.Name
}

// socksTunnel goes on after the reply; without a target the tunnel leads to a page of HTML.
func (s *session) socksTunnel(up *link, req socks.Request, secure bool) {
	if up == nil {
		s.nonsense()
		return
	}
	s.tunnel(up, socksHost(req.Addr), secure)
}
