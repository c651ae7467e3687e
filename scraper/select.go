package scraper

func (e *emitter) selected(b []byte) bool { return false }
