/* What a careless operator does to topics, done by tests. */
#include "journal/log/faults.h"

#include "journal/log/inside.h"

static hf_code await(rd_kafka_queue_t *queue, const char *what, hf_err *reterr) {
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, HF_LOG_STEP_MS);
    rd_kafka_resp_err_t err = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    return err ? hf_fail(reterr, hf_log_code(err), "%s: %s", what, rd_kafka_err2str(err)) : HF_OK;
}

hf_code hf_klog_delete_before(hf_klog *log, hf_topic topic, int32_t partition, int64_t offset, hf_err *reterr) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, log->topic_names[topic], partition)->offset = offset;
    rd_kafka_DeleteRecords_t *request = rd_kafka_DeleteRecords_new(list);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(log->admin);
    rd_kafka_DeleteRecords(log->admin, &request, 1, NULL, queue);
    rd_kafka_DeleteRecords_destroy(request);
    rd_kafka_topic_partition_list_destroy(list);
    return await(queue, "deleting records", reterr);
}

hf_code hf_klog_spoil_topic(hf_klog *log, hf_topic topic, const char *setting, const char *value, hf_err *reterr) {
    rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, log->topic_names[topic]);
    rd_kafka_ConfigResource_set_config(resource, setting, value);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(log->admin);
    rd_kafka_AlterConfigs(log->admin, &resource, 1, NULL, queue);
    rd_kafka_ConfigResource_destroy(resource);
    return await(queue, "changing a topic", reterr);
}
