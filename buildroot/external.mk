include $(sort $(wildcard $(BR2_EXTERNAL_REDAN_PATH)/package/*/*.mk))
