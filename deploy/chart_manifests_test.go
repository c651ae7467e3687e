//go:build manifests

package deploy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"freeway/config"
)

// everything turns on all that the chart has.
const everything = `
gateway: {drain: 1m30s, tls: {enabled: true}, users: [{name: bob, rate: 5, require: country-us}, {name: eve}], allowClients: [10.1.0.0/16]}
admin: {hosts: [freeway.example.com], tls: {enabled: true}}
auth: {existingSecret: mine}
certificate: {enabled: true, issuerRef: {name: ca, kind: Issuer}, dnsNames: [proxy.example.com]}
serviceMonitor: {enabled: true, labels: {release: prometheus}}
prometheusRule: {enabled: true, labels: {release: prometheus}}
dashboard: {enabled: true}
networkPolicy:
  gatewayFrom: [{namespaceSelector: {matchLabels: {crawlers: "yes"}}}]
  adminFrom: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]
  extraEgress: [{to: [{ipBlock: {cidr: 10.9.0.0/16}}]}]
service: {type: LoadBalancer, loadBalancerSourceRanges: [192.0.2.0/24], annotations: {a: b}}
persistence: {storageClass: fast, size: 20Gi, annotations: {a: b}}
resources: {requests: {cpu: "1"}, limits: {memory: 1.5Gi}}
config: {sources: {builtin: [monosans]}, log: {format: json}, gateway: {rotation: fastest}, admin: {pprof: true}}
imagePullSecrets: [{name: pull}]
nodeSelector: {a: b}
tolerations: [{key: a, operator: Exists}]
affinity: {nodeAffinity: {}}
priorityClassName: high
podAnnotations: {a: b}
podLabels: {a: b}
extraEnv: [{name: FREEWAY_LOG_LEVEL, value: debug}]
extraVolumes: [{name: judge, secret: {secretName: judge}}]
extraVolumeMounts: [{name: judge, mountPath: /etc/judge}]
serviceAccount: {annotations: {a: b}}
`

// TestChart: what the chart makes of usual values is valid, and Freeway takes
// the configuration.
func TestChart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, values string }{
		{"nothing", "{}"},
		{"everything", everything},
		{"no users", "gateway: {users: [], allowClients: [10.244.0.0/16]}"},
		{"users of the file", "config: {gateway: {users: [{name: carl, password_file: /etc/freeway-auth/user-carl}]}}"},
		{"secrets by reference", "config: {admin: {tokens: [{name: a, role: viewer, token: \"file:/etc/freeway-auth/a\"}]}}"},
		{"only the API inside TLS", "admin: {tls: {enabled: true}}\ngateway: {tls: {secretName: wildcard}}"},
		{"no disk", "persistence: {enabled: false}"},
		{"a claim that is there", "persistence: {existingClaim: old}"},
		{"no class of storage", "persistence: {storageClass: \"-\"}"},
		{"a secret of TLS that is there", "gateway: {tls: {enabled: true, secretName: wildcard}}"},
		{"no limits", "resources: {limits: null}"},
		{"less around it", "networkPolicy: {enabled: false}\npodDisruptionBudget: {enabled: false}\nserviceAccount: {create: false}"},
		{"everything may leave", "networkPolicy: {egressExcept: [], ipv6: false}"},
		{"digest", "image: {repository: registry.example.com/freeway, digest: \"sha256:" + strings.Repeat("a", 64) + "\"}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := template(t, "prod", tt.values)
			if err != nil {
				t.Fatal(err)
			}
			if err := validate(t, out); err != nil {
				t.Errorf("kubectl-validate: %v", err)
			}
			all := objects(t, out)
			loadConfig(t, all["ConfigMap/prod-freeway"])
			checkPod(t, all["StatefulSet/prod-freeway"])
		})
	}
}

// loadConfig reads the configuration of a ConfigMap as Freeway does.
func loadConfig(t *testing.T, m object) config.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), config.FileName)
	text, _ := m.at("data", "freeway.yaml").(string)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.LoadOptions{Path: file})
	if err != nil {
		t.Errorf("freeway refuses the configuration: %v\n%s", err, text)
	}
	return c
}

// checkPod looks for what must hold whatever the values are.
func checkPod(t *testing.T, set object) {
	t.Helper()
	spec := object(set.at("spec", "template", "spec").(map[string]any))
	container := object(spec.at("containers").([]any)[0].(map[string]any))
	for _, c := range []struct {
		what string
		got  any
		want any
	}{
		{"replicas", set.at("spec", "replicas"), 1},
		{"enableServiceLinks", spec.at("enableServiceLinks"), false},
		{"automountServiceAccountToken", spec.at("automountServiceAccountToken"), false},
		{"runAsNonRoot", spec.at("securityContext", "runAsNonRoot"), true},
		{"seccompProfile", container.at("securityContext", "seccompProfile", "type"), "RuntimeDefault"},
		{"readOnlyRootFilesystem", container.at("securityContext", "readOnlyRootFilesystem"), true},
		{"allowPrivilegeEscalation", container.at("securityContext", "allowPrivilegeEscalation"), false},
		{"livenessProbe", container.at("livenessProbe", "httpGet", "path"), "/livez"},
		{"readinessProbe", container.at("readinessProbe", "httpGet", "path"), "/readyz"},
		{"startupProbe", container.at("startupProbe", "httpGet", "path"), "/livez"},
	} {
		if c.got != c.want {
			t.Errorf("%s = %v, want %v", c.what, c.got, c.want)
		}
	}
	if drop, _ := container.at("securityContext", "capabilities", "drop").([]any); len(drop) != 1 || drop[0] != "ALL" {
		t.Errorf("capabilities.drop = %v, want ALL", drop)
	}
	mounts, _ := container.at("volumeMounts").([]any)
	for _, m := range mounts {
		if object(m.(map[string]any)).at("subPath") != nil {
			t.Errorf("%v is a subPath: it would never change", m)
		}
	}
}

// TestChartValues: values arrive where they belong.
func TestChartValues(t *testing.T) {
	t.Parallel()
	out, err := template(t, "freeway", everything)
	if err != nil {
		t.Fatal(err)
	}
	all := objects(t, out)
	if all["Secret/freeway-auth"] != nil {
		t.Error("there is a Secret besides the one that was named")
	}
	spec := object(all["StatefulSet/freeway"].at("spec", "template", "spec").(map[string]any))
	if got := spec.at("terminationGracePeriodSeconds"); got != 125 {
		t.Errorf("terminationGracePeriodSeconds = %v, want 125 for a drain of 1m30s and a delay of 5s", got)
	}
	container := object(spec.at("containers").([]any)[0].(map[string]any))
	env := container.at("env").([]any)[0].(map[string]any)
	if env["name"] != "GOMEMLIMIT" || env["value"] != "1449551462" {
		t.Errorf("env = %v, want GOMEMLIMIT=1449551462 for 1.5Gi", env)
	}
	c := loadConfig(t, all["ConfigMap/freeway"])
	if len(c.Gateway.Users) != 2 || c.Gateway.Users[0].PasswordFile != "/etc/freeway-auth/user-bob" || c.Gateway.Users[0].Rate != 5 {
		t.Errorf("users = %+v", c.Gateway.Users)
	}
	if c.Gateway.Rotation != "fastest" || c.Gateway.TLS.Cert != "/etc/freeway-tls/tls.crt" || !c.Admin.Pprof || c.Log.Format != "json" {
		t.Errorf("config was not laid over: %+v", c)
	}
	if got := all["Certificate/freeway"].at("spec", "secretName"); got != "freeway-tls" {
		t.Errorf("secretName of the certificate = %v", got)
	}
	monitor := all["ServiceMonitor/freeway"].at("spec", "endpoints").([]any)[0].(map[string]any)
	if got := object(monitor).at("tlsConfig", "serverName"); got != "freeway-admin.crawling.svc" || monitor["scheme"] != "https" {
		t.Errorf("Prometheus expects %v, %v", monitor["scheme"], got)
	}
	if got := object(container).at("readinessProbe", "httpGet", "scheme"); got != "HTTPS" {
		t.Errorf("scheme of the probe = %v", got)
	}
	asks := object(all["Pod/freeway-test"].at("spec", "containers").([]any)[0].(map[string]any))
	if env, _ := asks.at("env").([]any); len(env) != 1 || env[0].(map[string]any)["name"] != "SSL_CERT_FILE" {
		t.Errorf("helm test would not trust the certificate: env = %v", env)
	}
	if got := object(monitor).at("authorization", "credentials", "name"); got != "mine" {
		t.Errorf("Prometheus takes its token from %v", got)
	}
}

// TestChartRefuses: what would not start, or would be open, is not rendered,
// and the message says what to write.
func TestChartRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, values, want string }{
		{"open gateway", "gateway: {users: []}", "name gateway.users"},
		{"open gateway and null", "gateway: {users: null}", "name gateway.users"},
		{"password in a ConfigMap", "gateway: {users: [{name: a, password: b}]}", "/gateway/users/0/password"},
		{"password in config", "config: {gateway: {users: [{name: a, password: b}]}}", "put it in the Secret under the key user-a"},
		{"token in config", "config: {admin: {token: hush}}", "put it in the Secret under the key admin-token"},
		{"tokens in config", "config: {admin: {tokens: [{name: a, role: viewer, token: hush}]}}", "give its hash"},
		{"listener of its own", "config: {gateway: {listen: 127.0.0.1:1}}", "config.gateway.listen is set by the chart"},
		{"store of its own", "config: {store: {path: /tmp/x}}", "config.store.path is set by the chart"},
		{"several pods", "replicaCount: 2", "replicaCount"},
		{"misspelt key", "gatway: {port: 1}", "gatway"},
		{"shared volume", "persistence: {accessModes: [ReadWriteMany]}", "accessModes"},
		{"TLS without certificate", "gateway: {tls: {enabled: true}}", "need gateway.tls.secretName"},
		{"API inside TLS without certificate", "admin: {tls: {enabled: true}}", "need gateway.tls.secretName"},
		{"certificate without TLS", "certificate: {enabled: true, issuerRef: {name: a}}", "of no use without gateway.tls.enabled"},
		{"certificate without issuer", "gateway: {tls: {enabled: true}}\ncertificate: {enabled: true}", "issuerRef.name"},
		{"drain cut short", "gateway: {drain: 2m}\nterminationGracePeriodSeconds: 60", "not longer than gateway.drainDelay"},
		{"no time", "gateway: {drain: soon}", "drain"},
		{"no size", "resources: {limits: {memory: 512MB}}", "write for example 512Mi"},
		{"privileged port", "gateway: {port: 80}", "port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := template(t, "prod", tt.values); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("template(%q) = %v, want an error with %q", tt.values, err, tt.want)
			}
		})
	}
}

// TestChartRestarts: only what a running process does not take up makes a new pod.
func TestChartRestarts(t *testing.T) {
	t.Parallel()
	pod := func(values string) any {
		out, err := template(t, "prod", values)
		if err != nil {
			t.Fatal(err)
		}
		return objects(t, out)["StatefulSet/prod-freeway"].at("spec", "template", "metadata", "annotations", "freeway/restart-on")
	}
	before := pod("{}")
	if live := pod("config: {gateway: {rotation: fastest}, checker: {rate: 7}}\ngateway: {users: [{name: other}]}"); live != before {
		t.Error("a change that is taken up live makes a new pod")
	}
	if fixed := pod("config: {network: {allow_targets: [10.0.0.0/8]}}"); fixed == before {
		t.Error("a change of network does not make a new pod")
	}
}

// TestChartLint: helm lint has nothing to say.
func TestChartLint(t *testing.T) {
	t.Parallel()
	if out, errs, err := run(t, tool(t, "HELM"), "lint", "--strict", "--kube-version", kubeVersion+".0", "helm/freeway"); err != nil {
		t.Errorf("helm lint: %v\n%s%s", err, out, errs)
	}
}

// TestValidatorRefuses: the check can fail, for Kubernetes' own kinds and for those of the operators.
func TestValidatorRefuses(t *testing.T) {
	t.Parallel()
	out, err := template(t, "prod", everything)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{"replicas: 1", "replicas: one"}, {"serviceName:", "servicename:"}, {"maxUnavailable:", "maxUnavailble:"},
		{"issuerRef:", "issuer:"}, {"jobLabel: app.kubernetes.io/name", "jobLabel: [a]"}, {"- alert: FreewayDown", "- alert: {}"},
	} {
		broken := strings.Replace(out, change[0], change[1], 1)
		if broken == out {
			t.Errorf("there is no %q", change[0])
		} else if validate(t, broken) == nil {
			t.Errorf("with %q for %q the manifests are said to be valid", change[1], change[0])
		}
	}
}
