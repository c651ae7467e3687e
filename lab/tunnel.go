package lab

import (
	"errors"
	"io"
	"strings"
)

// connect answers CONNECT; it reports whether another request may follow.
func (s *session) connect(h *head) bool {
	host, port, ok := splitTarget(h.first[1], 0)
	if !ok {
		return s.turnBack(h, "HTTP/1.1 400 Bad Request")
	}
	if !s.think() {
		return false
	}
	switch {
	case s.as == ConnectForbidden, s.as == Only443 && port != 443:
		return s.turnBack(h, "HTTP/1.1 403 Forbidden")
	case s.as == ConnectNotAllowed, s.isEdge():
		return s.turnBack(h, "HTTP/1.1 405 Method Not Allowed", "Allow", "GET, HEAD, POST")
	case s.as == HTMLAfter200:
		io.WriteString(s.c, "HTTP/1.1 200 Connection established\r\n\r\n")
		s.nonsense()
		return false
	}
	up, secure, err := s.reach(host, port)
	if err != nil {
		s.log.Debug("lab: connect", "upstream", s.n.ep.String(), "err", err)
		return s.turnBack(h, "HTTP/1.1 502 Bad Gateway")
	}
	defer s.scope.drop(up.tcp)
	if _, err := io.WriteString(s.c, "HTTP/1.1 200 Connection established\r\n\r\n"); err == nil {
		s.tunnel(up, host, secure)
	}
	return false
}

// nonsense is what a tunnel that leads nowhere says.
func (s *session) nonsense() {
	if _, err := s.c.br.Peek(1); err == nil {
		s.c.Write(loginPage("HTTP/1.1 200 OK"))
	}
}

// tunnel carries bytes between the client and a target, in the node's manner.
func (s *session) tunnel(up *link, host string, secure bool) {
	switch s.as {
	case Intercept:
		if secure && s.intercept(up, host) != nil {
			return
		}
	case Tamper, LyingExit, Inject, Cookies, Forger, CutLong, StaleEdge, OwnEdge, Compress, Unzip, Marked:
		if !secure && s.eavesdrop(up) {
			return
		}
	case CutBody, CutBodyFramed, ResetMidBody:
		s.relay(up, &cutter{dst: s.c, reset: s.as == ResetMidBody})
		return
	}
	s.relay(up, s.c)
}

// relay copies both ways with half-close until both ends are done. Downstream bytes go to down.
func (s *session) relay(up *link, down io.Writer) {
	s.c.patience(idleTime)
	up.patience(idleTime)
	watch, _ := down.(*cutter)
	ended := make(chan struct{})
	ok := s.scope.spawn(func() {
		defer close(ended)
		s.copyDown(up, down)
	})
	if !ok {
		return
	}
	var src io.Reader = s.c
	if watch != nil {
		src = watch.seeing(src)
	}
	if _, err := s.bufs.copy(up, src); err != nil {
		up.Close()
	} else {
		up.CloseWrite()
		up.hurry(graceTime)
	}
	<-ended
}

// copyDown copies the answers; when they end the client may still send for a
// grace period. A target's reset is handed on as a reset.
func (s *session) copyDown(up *link, down io.Writer) {
	_, err := s.bufs.copy(down, up)
	switch {
	case errors.Is(err, errCut):
		s.c.hurry(lingerTime)
	case err != nil:
		s.c.abort()
	default:
		s.c.CloseWrite()
		s.c.hurry(graceTime)
	}
}

// eavesdrop treats a plain tunnel as HTTP when the first bytes look like it; it reports whether it did.
func (s *session) eavesdrop(up *link) bool {
	first, err := s.c.br.Peek(4)
	if err != nil || !strings.Contains("GET POSTHEADPUT OPTIDELEPATC", string(first)) {
		return false
	}
	for {
		h, err := readHead(s.c.br)
		if err != nil || !s.exchange(h, up) {
			return true
		}
	}
}
