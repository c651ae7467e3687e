{{- define "freeway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "freeway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "freeway.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "freeway.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "freeway.selector" -}}
app.kubernetes.io/name: freeway
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "freeway.labels" -}}
{{ include "freeway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "freeway.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "freeway.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "freeway.secret" -}}
{{- default (printf "%s-auth" (include "freeway.fullname" .)) .Values.auth.existingSecret -}}
{{- end -}}

{{- define "freeway.tlsSecret" -}}
{{- default (printf "%s-tls" (include "freeway.fullname" .)) .Values.gateway.tls.secretName -}}
{{- end -}}

{{- define "freeway.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Seconds of a length of time as freeway.yaml writes it: 20s, 1m30s, 500ms (rounded up). */}}
{{- define "freeway.seconds" -}}
{{- $ms := 0.0 -}}
{{- $unit := dict "h" 3600000.0 "m" 60000.0 "s" 1000.0 "ms" 1.0 -}}
{{- if not (regexMatch "^([0-9]+(\\.[0-9]+)?(h|ms|m|s))+$" .) -}}
{{- fail (printf "%q is no length of time; write for example 20s or 1m30s" .) -}}
{{- end -}}
{{- range regexFindAll "[0-9.]+(ms|h|m|s)" . -1 -}}
{{- $ms = addf $ms (mulf (float64 (regexFind "^[0-9.]+" .)) (get $unit (regexFind "[a-z]+$" .))) -}}
{{- end -}}
{{- divf $ms 1000.0 | ceil | int64 -}}
{{- end -}}

{{/* Bytes of a quantity: 512Mi, 1.5Gi, 1G, 800M, 1000000. */}}
{{- define "freeway.bytes" -}}
{{- $unit := dict "" 1.0 "k" 1000.0 "M" 1000000.0 "G" 1000000000.0 "T" 1000000000000.0 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 -}}
{{- if not (regexMatch "^[0-9]+(\\.[0-9]+)?([kMGT]|[KMGT]i)?$" .) -}}
{{- fail (printf "resources.limits.memory: %q cannot be read; write for example 512Mi or 1Gi" .) -}}
{{- end -}}
{{- mulf (float64 (regexFind "^[0-9.]+" .)) (get $unit (regexFind "[a-zA-Z]*$" .)) | int64 -}}
{{- end -}}

{{/* The names of the Services, under which browsers and Prometheus may come. */}}
{{- define "freeway.hosts" -}}
{{- $admin := printf "%s-admin" (include "freeway.fullname" .) -}}
{{- $ns := .Release.Namespace -}}
{{- concat (list $admin (printf "%s.%s" $admin $ns) (printf "%s.%s.svc" $admin $ns) (printf "%s.%s.svc.cluster.local" $admin $ns)) .Values.admin.hosts | toJson -}}
{{- end -}}

{{/* Seconds that the end may take, without what is spent on saving. */}}
{{- define "freeway.ending" -}}
{{- add (include "freeway.seconds" .Values.gateway.drainDelay | int64) (include "freeway.seconds" .Values.gateway.drain | int64) -}}
{{- end -}}

{{/* Whether a certificate is mounted. */}}
{{- define "freeway.tls" -}}
{{- if or .Values.gateway.tls.enabled .Values.admin.tls.enabled -}}true{{- end -}}
{{- end -}}

{{/* freeway.yaml: what the chart sets, with .Values.config laid over it. */}}
{{- define "freeway.config" -}}
{{- $users := list -}}
{{- range .Values.gateway.users -}}
{{- $users = append $users (merge (dict "password_file" (printf "/etc/freeway-auth/user-%s" .name)) .) -}}
{{- end -}}
{{- $gateway := dict "listen" (printf "0.0.0.0:%d" (int .Values.gateway.port)) "users" $users "allow_clients" .Values.gateway.allowClients "drain_delay" .Values.gateway.drainDelay "drain" .Values.gateway.drain -}}
{{- if .Values.gateway.tls.enabled -}}
{{- $_ := set $gateway "tls" (dict "listen" (printf "0.0.0.0:%d" (int .Values.gateway.tls.port)) "cert" "/etc/freeway-tls/tls.crt" "key" "/etc/freeway-tls/tls.key") -}}
{{- end -}}
{{- $admin := dict "listen" (printf "0.0.0.0:%d" (int .Values.admin.port)) "token_file" "/etc/freeway-auth/admin-token" "hosts" (include "freeway.hosts" . | fromJsonArray) -}}
{{- if .Values.admin.tls.enabled -}}
{{- $_ := set $admin "tls" (dict "cert" "/etc/freeway-tls/tls.crt" "key" "/etc/freeway-tls/tls.key") -}}
{{- end -}}
{{- $_ := set $admin "tokens" (list (dict "name" "prometheus" "role" "viewer" "token_file" "/etc/freeway-auth/metrics-token")) -}}
{{- $base := dict "store" (dict "path" "/data/freeway.db") "gateway" $gateway "admin" $admin -}}
{{- mergeOverwrite $base (deepCopy .Values.config) | toYaml -}}
{{- end -}}

{{/* The sections of freeway.yaml that a running process does not take up. */}}
{{- define "freeway.restartOn" -}}
{{- $config := include "freeway.config" . | fromYaml -}}
{{- $some := dict -}}
{{- range .Values.restartOn -}}
{{- $_ := set $some . (get $config .) -}}
{{- end -}}
{{- toJson $some -}}
{{- end -}}

{{/* What would be refused at the start, or would be unsafe, is refused here. */}}
{{- define "freeway.check" -}}
{{- $config := include "freeway.config" . | fromYaml -}}
{{- $given := .Values.config -}}
{{- if not (or $config.gateway.users $config.gateway.allow_clients) -}}
{{- fail "gateway: everybody in the cluster could use it; name gateway.users (their passwords are in the Secret) or gateway.allowClients" -}}
{{- end -}}
{{- range $config.gateway.users -}}
{{- if and (hasKey . "password") (not (regexMatch "^(file|env):" (toString .password))) -}}
{{- fail (printf "gateway.users: the password of %s would be in a ConfigMap; put it in the Secret under the key user-%s" .name .name) -}}
{{- end -}}
{{- end -}}
{{- if not (regexMatch "^((file|env):.*)?$" (dig "admin" "token" "" $given | toString)) -}}
{{- fail "config.admin.token would be in a ConfigMap; put it in the Secret under the key admin-token" -}}
{{- end -}}
{{- range dig "admin" "tokens" list $given -}}
{{- if and (hasKey . "token") (not (regexMatch "^(file|env):" (toString .token))) -}}
{{- fail "config.admin.tokens: a token would be in a ConfigMap; give its hash (freeway config token) or token_file" -}}
{{- end -}}
{{- end -}}
{{- range $path := list "gateway.listen" "gateway.tls" "gateway.drain" "gateway.drain_delay" "admin.listen" "admin.tls" "store.path" -}}
{{- $part := splitList "." $path -}}
{{- if hasKey (get $given (index $part 0) | default dict) (index $part 1) -}}
{{- fail (printf "config.%s is set by the chart; see gateway, admin and persistence in its values" $path) -}}
{{- end -}}
{{- end -}}
{{- if and (include "freeway.tls" .) (not .Values.gateway.tls.secretName) (not .Values.certificate.enabled) -}}
{{- fail "gateway.tls and admin.tls need gateway.tls.secretName, or certificate.enabled with cert-manager" -}}
{{- end -}}
{{- if and .Values.certificate.enabled (not (include "freeway.tls" .)) -}}
{{- fail "certificate.enabled is of no use without gateway.tls.enabled or admin.tls.enabled" -}}
{{- end -}}
{{- if and .Values.certificate.enabled (not .Values.certificate.issuerRef.name) -}}
{{- fail "certificate.issuerRef.name: name the issuer of cert-manager" -}}
{{- end -}}
{{- $ending := include "freeway.ending" . | int64 -}}
{{- $grace := .Values.terminationGracePeriodSeconds | int64 -}}
{{- if and $grace (le $grace $ending) -}}
{{- fail (printf "terminationGracePeriodSeconds: %d s are not longer than gateway.drainDelay and gateway.drain (%d s): running requests would be cut" $grace $ending) -}}
{{- end -}}
{{- end -}}
