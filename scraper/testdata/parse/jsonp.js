callback({"data":[{"ip":"31.224.206.230","port":80}]});
