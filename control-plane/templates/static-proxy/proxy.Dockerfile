ARG RUN_IMAGE=nginxinc/nginx-unprivileged:1.29-alpine

FROM ${RUN_IMAGE}
COPY proxy.conf /etc/nginx/conf.d/default.conf
COPY public /usr/share/nginx/html
USER 101
EXPOSE 8080
