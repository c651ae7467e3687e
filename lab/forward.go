package lab

import (
	"encoding/base64"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"freeway/proxy"
)

// serveHTTP answers requests until the connection ends.
func (s *session) serveHTTP() {
	for s.scope.Err() == nil {
		if _, err := s.c.br.Peek(1); err != nil {
			return
		}
		h, err := readHead(s.c.br)
		if err != nil {
			if errors.Is(err, errHead) {
				s.answer("HTTP/1.1 400 Bad Request", "this is an HTTP proxy\n", "Connection", "close")
			}
			return
		}
		if !s.request(h) {
			return
		}
		s.c.patience(idleTime)
	}
}

// request deals with one request; it reports whether another may follow.
func (s *session) request(h *head) bool {
	if s.n.gone(time.Now()) {
		s.c.abort() // it went down since the connection began
		return false
	}
	switch {
	case s.as == LoginPage:
		s.c.Write(loginPage("HTTP/1.1 200 OK"))
		return false
	case !s.admitted(h):
		return s.turnBack(h, "HTTP/1.1 407 Proxy Authentication Required", "Proxy-Authenticate", `Basic realm="lab"`)
	case strings.EqualFold(h.first[0], "CONNECT"):
		return s.connect(h)
	}
	authority, path, ok := splitAbsolute(h.first[1])
	host, port, ok2 := splitTarget(authority, 80)
	if _, err := h.requestBody(); err != nil || !ok || !ok2 {
		return s.turnBack(h, "HTTP/1.1 400 Bad Request")
	}
	if !s.think() {
		return false
	}
	up, _, err := s.reach(host, port)
	if err != nil {
		s.log.Debug("lab: forward", "upstream", s.n.ep.String(), "err", err)
		return s.turnBack(h, "HTTP/1.1 502 Bad Gateway")
	}
	defer s.scope.drop(up.tcp)
	h.first[1] = path
	h.setHost(authority)
	return s.exchange(h, up)
}

// admitted compares credentials.
func (s *session) admitted(h *head) bool {
	if s.as == Locked {
		return false
	}
	if s.n.User == "" {
		return true
	}
	scheme, data, _ := strings.Cut(h.get("Proxy-Authorization"), " ")
	got, err := base64.StdEncoding.DecodeString(strings.TrimSpace(data))
	return err == nil && strings.EqualFold(scheme, "Basic") && string(got) == s.n.User+":"+s.n.Password
}

// turnBack answers without a target; it reports whether another request may follow.
func (s *session) turnBack(h *head, status string, extra ...string) bool {
	n, err := h.requestBody()
	keep := err == nil && (n == noBody || n == 0) && !h.wantsClose(h.first[2])
	if !keep {
		extra = append(extra, "Connection", "close")
	}
	_, text, _ := strings.Cut(status, " ")
	s.answer(status, text+"\n", extra...)
	return keep
}

// answer writes a short answer of the upstream's own; extra are names and values of fields.
func (s *session) answer(status, body string, extra ...string) {
	h := head{first: [3]string{status}}
	h.add("Content-Type", "text/plain")
	h.add("Content-Length", strconv.Itoa(len(body)))
	for i := 0; i+1 < len(extra); i += 2 {
		h.add(extra[i], extra[i+1])
	}
	s.c.Write(append(h.bytes(), body...))
}

// loginPage is a page of the proxy's own, whole with its head.
func loginPage(status string) []byte {
	const html = "<!DOCTYPE html>\n<html><head><title>Router login</title></head><body><form method=post>" +
		"<input name=user><input name=password type=password><button>Log in</button></form></body></html>\n"
	h := head{first: [3]string{status}}
	h.add("Server", "micro_httpd")
	h.add("Content-Type", "text/html")
	h.add("Content-Length", strconv.Itoa(len(html)))
	h.add("Connection", "close")
	return append(h.bytes(), html...)
}

// exchange sends a request in origin form to up and brings the answer back.
func (s *session) exchange(h *head, up *link) bool {
	n, err := h.requestBody()
	if err != nil {
		return s.turnBack(h, "HTTP/1.1 400 Bad Request")
	}
	method, version, last := h.first[0], h.first[2], h.wantsClose(h.first[2])
	h.dropHops()
	if s.isEdge() && !s.customer(h.get("Host")) {
		s.fromEdge(h)
		return false
	}
	if s.as == Unzip {
		h.drop("Accept-Encoding")
	}
	s.reveal(h)
	if _, err := up.Write(h.bytes()); err != nil {
		return s.turnBack(h, "HTTP/1.1 502 Bad Gateway")
	}
	sent := s.upload(up, n)
	up.patience(idleTime)
	ok := s.download(up, method, version, last)
	return sent.finish(s.c) && ok
}

// reveal adds what transparent and anonymous proxies say of themselves and their clients.
func (s *session) reveal(h *head) {
	client := "unknown"
	if s.as == Transparent {
		client = "127.0.0.1"
		if a, ok := s.c.RemoteAddr().(*net.TCPAddr); ok {
			client = a.AddrPort().Addr().Unmap().String()
		}
	}
	if s.as == Transparent || s.as == Anonymous {
		h.add("Via", "1.1 lab (squid/4.10)")
		h.add("X-Forwarded-For", client)
	}
}

// sending is a request body on its way; nil when there is none.
type sending struct {
	ended chan struct{}
	err   error // set before ended is closed
}

// upload sends a request body of kind or length n in a goroutine, because the
// answer may come before its end (100 Continue, 413, an echo).
func (s *session) upload(up *link, n int64) *sending {
	if n == noBody || n == 0 {
		return nil
	}
	u := &sending{ended: make(chan struct{})}
	s.c.patience(idleTime)
	ok := s.scope.spawn(func() {
		defer close(u.ended)
		if u.err = s.bufs.copyBody(up, s.c.br, n); u.err != nil {
			up.CloseWrite()
		}
	})
	if !ok {
		return nil
	}
	return u
}

// finish waits until the body is through. After an early answer the rest gets a
// little time and is cut off then. It reports whether the client's connection is in order.
func (u *sending) finish(c *link) bool {
	if u == nil {
		return true
	}
	c.hurry(lingerTime)
	<-u.ended
	return u.err == nil
}

// download brings answers back until the final one; it reports whether the client's connection can go on.
func (s *session) download(up *link, method, version string, last bool) bool {
	for {
		h, err := readHead(up.br)
		if err != nil || !strings.HasPrefix(h.first[0], "HTTP/") {
			s.answer("HTTP/1.1 502 Bad Gateway", "the target did not answer\n", "Connection", "close")
			return false
		}
		n, err := h.answerBody(method)
		if err != nil {
			s.answer("HTTP/1.1 502 Bad Gateway", "the target's answer makes no sense\n", "Connection", "close")
			return false
		}
		if h.status() < 200 {
			s.c.Write(h.bytes())
			continue
		}
		h.dropHops()
		s.decorate(h)
		if s.meddles() && n != noBody {
			return s.meddle(h, up, method, n, last)
		}
		return s.pass(h, up, version, n, last)
	}
}

// pass copies the answer as it is.
func (s *session) pass(h *head, up *link, version string, n int64, last bool) bool {
	if n == untilClose {
		last = true
	}
	if last {
		h.add("Connection", "close")
	} else if version == "HTTP/1.0" {
		h.add("Connection", "keep-alive")
	}
	if _, err := s.c.Write(h.bytes()); err != nil {
		return false
	}
	if err := s.bufs.copyBody(s.c, up.br, n); err != nil {
		s.c.abort() // whatever the framing, the client must not take it for the end
		return false
	}
	return !last
}

// splitAbsolute divides http://authority/path?query, byte for byte.
func splitAbsolute(target string) (authority, path string, ok bool) {
	const scheme = "http://"
	if len(target) <= len(scheme) || !strings.EqualFold(target[:len(scheme)], scheme) {
		return "", "", false
	}
	rest := target[len(scheme):]
	at := strings.IndexAny(rest, "/?")
	switch {
	case at < 0:
		return rest, "/", true
	case rest[at] == '?':
		return rest[:at], "/" + rest[at:], true
	}
	return rest[:at], rest[at:], true
}

// splitTarget reads host[:port]; brackets of IPv6 are taken off.
func splitTarget(s string, defaultPort uint16) (string, uint16, bool) {
	t, err := proxy.ParseTarget(s, defaultPort)
	return t.Host, t.Port, err == nil
}
