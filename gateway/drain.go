package gateway

import "time"

// Leave makes every connection end with the answer that it waits for, so that
// clients which keep connections go elsewhere. New ones are still taken.
func (g *Gateway) Leave() { g.leaving.Store(true) }

// Hurry makes Config.Drain pass at once, now or when the drain begins.
func (g *Gateway) Hurry() { g.hurryOnce.Do(func() { close(g.hurry) }) }

// drain ends everything: who has connected is served, idle connections end now,
// requests and tunnels when they are done, and what is left after Config.Drain
// by force.
func (g *Gateway) drain(cut func()) {
	g.mu.Lock()
	g.ending.Store(true)
	ls := g.listeners
	g.mu.Unlock()
	g.retire(ls)
	g.workers.thin(true)
	g.h2.drain()
	g.lastCalls()
	done := make(chan struct{})
	go func() {
		g.wg.Wait()
		close(done)
	}()
	limit := time.NewTimer(g.set.Load().cfg.Drain)
	defer limit.Stop()
	select {
	case <-done:
		return
	case <-limit.C:
	case <-g.hurry:
	}
	connections, tunnels, requests := g.Counts()
	g.env.Log.Warn("cut at the end", "connections", connections, "requests", requests, "tunnels", tunnels)
	cut()
	g.mu.Lock()
	for c := range g.clients {
		_ = c.raw.Close()
		c.cut()
	}
	g.mu.Unlock()
	<-done
}

// lastCalls gives connections that wait for a request a last while to begin one.
func (g *Gateway) lastCalls() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	for c := range g.clients {
		if c.idle.CompareAndSwap(true, false) {
			_ = c.raw.SetReadDeadline(now.Add(c.lastCall()))
		}
	}
}

// lastCall is how long an idle connection may still begin a request when the
// gateway ends: one that has just come has it on the way.
func (c *client) lastCall() time.Duration {
	if c.served.Load() {
		return lastCall
	}
	return firstCall
}
