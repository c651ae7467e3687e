package trace

import "time"

// RetryAfter reads the field of that name.
func RetryAfter(s string, now time.Time) time.Duration { return retryAfter(s, now) }
